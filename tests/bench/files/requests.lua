-- Asks what stands in the file of requests, line after line: METHOD, path, key, and a body's megabytes (- for a small one).
local lines = {}
for line in io.lines("@requests@") do lines[#lines + 1] = line end
local asked = {}
local position = @next@

local function body_of(size)
  if size == "-" then return '{"model":"@model@","payload":{"prompt":"a lighthouse at dawn"}}' end
  local image = string.rep("A", tonumber(size) * 1024 * 1024)
  return '{"model":"@model@","payload":{"prompt":"a lighthouse at dawn","image":"data:image/png;base64,' .. image .. '"}}'
end

-- Written out in one order, as a client does: wrk.format puts headers in another one each time it is started.
function init()
  for number, line in ipairs(lines) do
    local method, path, key, size = line:match("(%S+) (%S+) (%S+) (%S+)")
    local head = {method .. " " .. path .. " HTTP/1.1", "Host: " .. wrk.headers["Host"],
      "Authorization: Bearer " .. key@headers@}
    local body = ""
    if method == "POST" then
      body = body_of(size)
      head[#head + 1] = "Content-Type: application/json"
      head[#head + 1] = "Content-Length: " .. #body
    end
    asked[number] = table.concat(head, "\r\n") .. "\r\n\r\n" .. body
  end
end

function request()
  position = position % #asked + 1
  return asked[position]
end
