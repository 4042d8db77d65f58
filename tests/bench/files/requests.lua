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

function init()
  for number, line in ipairs(lines) do
    local method, path, key, size = line:match("(%S+) (%S+) (%S+) (%S+)")
    local headers = {["Authorization"] = "Bearer " .. key, ["Host"] = wrk.headers["Host"]@headers@}
    if method == "POST" then
      headers["Content-Type"] = "application/json"
      asked[number] = wrk.format(method, path, headers, body_of(size))
    else
      asked[number] = wrk.format(method, path, headers)
    end
  end
end

function request()
  position = position % #asked + 1
  return asked[position]
end
