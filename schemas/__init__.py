"""What crosses the wire: the envelope, inbound events, outbound messages and their JSON Schemas."""
