"""`pathway demo`: the main job for real, told as a story, with a crash and the proof."""

from handlers.demo.show import Report, demo

__all__ = ["Report", "demo"]
