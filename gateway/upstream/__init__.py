"""GMI's request-queue API as the gateway calls it: connections, credentials, calls, and its JSON made ours."""
