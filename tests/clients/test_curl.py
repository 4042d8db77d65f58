"""The API reference's own script: curl and jq, from the listing to the finished artifact's URL."""

import asyncio
import os

from tests.conftest import OpenHouse, Q, team

SCRIPT = """
set -euo pipefail
curl -sf "$BASE/models" -H "Authorization: Bearer $KEY" | jq -e '.model_ids | index("Veo3") != null' >&2
curl -sf "$BASE/models/Veo3" -H "Authorization: Bearer $KEY" | jq -e '.parameters | length > 0' >&2
REQUEST_ID=$(curl -sf "$BASE/requests" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
  -d '{"model":"Veo3","payload":{"prompt":"a lighthouse at dawn"}}' | jq -r .request_id)
while true; do
  RECORD=$(curl -sf "$BASE/requests/$REQUEST_ID" -H "Authorization: Bearer $KEY")
  case $(jq -r .status <<<"$RECORD") in
    success) break ;;
    failed|cancelled) exit 1 ;;
  esac
  sleep 0.2
done
curl -sf -r 4-11 "$(jq -r .outcome.video_url <<<"$RECORD")"
URLS=$(curl -sf "$BASE/upload-url" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
  -d '{"file_type":"png"}')
printf png-bytes | curl -sf -X PUT "$(jq -r .upload_url <<<"$URLS")" -H "Content-Type: image/png" --data-binary @-
curl -sf "$(jq -r .public_url <<<"$URLS")"
"""


async def test_the_reference_script(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")}, speed=10_000)
    environment = {"BASE": house.running.public_url + Q, "KEY": "key", "PATH": os.environ["PATH"]}
    script = await asyncio.create_subprocess_exec(
        "bash", "-c", SCRIPT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await script.communicate()
    assert script.returncode == 0, complaints.decode()
    assert printed.startswith(b"ftyp")
    assert printed.endswith(b"png-bytes")
