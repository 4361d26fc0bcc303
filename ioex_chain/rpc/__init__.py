"""JSON-RPC 2.0 and 1.0 over HTTP and WebSocket: server, method registry, OpenRPC description, client."""
