"""The MQTT bridge: speakers on a broker, answered by a service here or by a server elsewhere."""
