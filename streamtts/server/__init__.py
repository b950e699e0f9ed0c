"""One port: WebSockets and HTTP in front of a `Service`. Knows neither engine nor model."""
