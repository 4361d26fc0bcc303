"""The running program: configuration, construction, the worker thread, services, logs."""
