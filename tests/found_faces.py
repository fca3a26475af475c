"""Faces where a test wants them, and a detector that finds them."""

from __future__ import annotations

import numpy as np

from guidebench.networks.mtcnn import Detections, FaceDetector
from guidebench.photos import frames


def face(size=1.0, x=256.0, y=256.0):
    """A frontal face whose landmarks are ``size`` times those in EG3D's crop, around (x, y)."""
    return 512 * 300 / 700 * size * frames.TEMPLATE[:, :2] * [1, -1] + [x, y - 1]


class Finds(FaceDetector):
    """Finds the faces that it is told of, whatever it sees."""

    def __init__(self, *faces):
        self.faces = faces

    def detect(self, image):
        boxes = [[*face.min(axis=0), *face.max(axis=0), 0.9] for face in self.faces]
        rows = [face.T.ravel() for face in self.faces]
        return Detections(np.array(boxes).reshape(-1, 5), np.array(rows, np.float32).reshape(-1, 10))


def in_frame(frame, side):
    """Landmarks of a frontal face in a cut of ``side`` pixels."""
    landmarks = face()
    if frame == "eg3d":
        return landmarks * (side / 512)
    corners = frames.ffhq_square(landmarks)
    return (landmarks - corners[0]) * (side / np.linalg.norm(corners[3] - corners[0]))
