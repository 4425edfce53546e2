#!/bin/sh
# Makes the demo's workspace and one endpoint, which is the demo's receiver; when they are there already, changes nothing.
#
#   DEMO_API     http://host:port of the API
#   DEMO_TOKEN   an admin token
#   DEMO_TO      the receiver's URL
set -eu
workspace=$DEMO_API/v1/workspaces/demo

api() {
    curl -sSf --retry 30 --retry-delay 1 --retry-all-errors \
        -H "Authorization: Bearer $DEMO_TOKEN" -H 'Content-Type: application/json' "$@"
}

api -X PUT "$workspace" -d '{"plan": "advanced", "name": "Demo", "notify": ["demo@example.com"]}'
if api "$workspace/endpoints" | grep -qF "\"$DEMO_TO\""; then
    echo "the endpoint is there already"
else
    # The answer has the endpoint's secret, which is shown this once.
    api -X POST "$workspace/endpoints" -d "{\"url\": \"$DEMO_TO\", \"events\": [\"*\"]}"
fi
