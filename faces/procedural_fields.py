"""Weights over the rest pose of the procedural head: how strongly each vertex belongs to lips, jaw, lids and brows.

Upper and lower lip, and upper and lower lid, are told apart by the side of the line where they meet, not by distance. Centimetres.
"""

from __future__ import annotations

import numpy as np

from faces.procedural_mesh import HeadMesh
from faces.procedural_skin import MOUTH_HALF_WIDTH, eyelid_line, lip_line
from faces.procedural_surface import EYE_CENTRE

_JAW_JOINT = np.array([0.0, 0.8, 0.4])
_JAW_OPEN_DEGREES = 16.0
_BROW_HEIGHT = 5.2


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 between them."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class RestFields:
    """Weights [V] over the rest pose from which the shapes are put together."""

    def __init__(self, mesh: HeadMesh, eye_margin: np.ndarray, slit: np.ndarray) -> None:
        self.mesh = mesh
        self.points = mesh.vertices
        self.x, self.y, self.z = mesh.vertices.T
        self.soft = mesh.is_part("skin", "lips", "mouth_interior", "eyelid_margin", "brow").astype(float)
        self.left = smoothstep(self.x, -1.3, 1.3)
        self._measure_mouth(slit)
        self._measure_jaw()
        self._measure_lids(eye_margin)

    def _measure_mouth(self, slit: np.ndarray) -> None:
        mesh, lining = self.mesh, self.mesh.is_part("mouth_interior")
        self.above_lips = self.y - lip_line(self.x)
        tagged = mesh.is_part("lips", "mouth_interior")
        lip_side = np.where(tagged, mesh.side, np.sign(np.round(self.above_lips, 9)))
        u = np.clip(np.abs(self.x) / MOUTH_HALF_WIDTH, 0, 1)
        # How far lips can part at x: 1 in the middle, 0 from the corners outwards.
        self.parting = np.sqrt(1 - u**2)
        slit_x, slit_z = self.points[slit, 0], self.points[slit, 2]
        order = np.argsort(slit_x)
        depth = np.interp(np.abs(self.x), slit_x[order], slit_z[order]) - self.z
        inward = np.where(lining, np.exp(-((np.clip(depth, 0, None) / 1.1) ** 2)), 1.0)
        beside = np.clip(np.abs(self.x) - MOUTH_HALF_WIDTH, 0, None)
        beyond = np.clip(np.abs(self.above_lips) - 0.8, 0, None)
        near = np.exp(-((beside / 1.3) ** 2) - (beyond / 1.0) ** 2)
        self.mouth = self.soft * near * inward * smoothstep(self.z, 2.0, 6.0)
        self.upper_lip = self.mouth * self.parting * (lip_side > 0)
        self.lower_lip = self.mouth * self.parting * (lip_side < 0)
        self.lip_side = lip_side
        across = np.where(self.x < MOUTH_HALF_WIDTH, 1.7, 1.5)
        corner = np.exp(-(((self.x - MOUTH_HALF_WIDTH) / across) ** 2) - (self.above_lips / 1.6) ** 2)
        self.corner = self.soft * corner * inward * smoothstep(self.z, 1.0, 6.0)

    def _measure_jaw(self) -> None:
        share = smoothstep(np.abs(self.above_lips), 0.0, 2.6)
        below = 0.5 - 0.5 * self.lip_side * (self.parting + (1 - self.parting) * share)
        region = smoothstep(self.z, -0.5, 5.0) * smoothstep(self.y + 0.3 * self.z, -12.5, -6.8)
        self.jaw_region = np.where(self.soft > 0, region, 0.0)
        self.below_lips = below
        rigid = self.mesh.is_part("lower_teeth", "tongue")
        self.jaw = np.where(rigid, 1.0, self.jaw_region * below * (self.soft > 0))
        self.jaw_turn = rotate_about_x(self.points - _JAW_JOINT, _JAW_OPEN_DEGREES) - (self.points - _JAW_JOINT)

    def _measure_lids(self, margin: np.ndarray) -> None:
        """Angle and distance of each vertex about the left eye's level axis, and what would bring its lid to the closing line."""
        y, z = self.y - EYE_CENTRE[1], self.z - EYE_CENTRE[2]
        self.lid_angle, self.lid_radius = np.arctan2(y, z), np.hypot(y, z)
        x = self.x[margin]
        angle, radius = self.lid_angle[margin], self.lid_radius[margin]
        order = np.argsort(x, kind="stable")
        is_upper, is_lower = self.mesh.side[margin][order] >= 0, self.mesh.side[margin][order] <= 0

        def over_x(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
            return np.interp(self.x, x[order][chosen], values[order][chosen])

        self.upper_angle, self.lower_angle = over_x(angle, is_upper), over_x(angle, is_lower)
        upper_radius, lower_radius = over_x(radius, is_upper), over_x(radius, is_lower)
        self.closed_angle = 0.22 * self.upper_angle + 0.78 * self.lower_angle
        closed_radius = 0.5 * (upper_radius + lower_radius)
        tagged = self.mesh.is_part("eyelid_margin") | np.isin(np.arange(len(self.x)), margin)
        above = np.where(tagged, self.mesh.side, np.sign(self.y - eyelid_line(self.x)))
        reach = self.soft * (self.x > 0.6) * (self.z > 4) * (1 - self.mesh.is_part("brow"))
        reach = reach * smoothstep(-np.abs(self.x - EYE_CENTRE[0]), -2.3, -1.3)
        reach = reach * smoothstep(-self.lid_radius, -2.3, -1.6)
        self.upper_lid = reach * (above > 0) * (1 - smoothstep(self.lid_angle - self.upper_angle, 0.04, 0.50))
        self.lower_lid = reach * (above < 0) * (1 - smoothstep(self.lower_angle - self.lid_angle, 0.04, 0.55))
        self.upper_radius_change = closed_radius - upper_radius
        self.lower_radius_change = closed_radius - lower_radius

    def gaussian(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """A bell over the front of the face, centred at (x, y) cm."""
        bell = np.exp(-(((self.x - x) / width) ** 2) - ((self.y - y) / height) ** 2)
        return self.soft * bell * smoothstep(self.z, 0.0, 5.0)

    def brow(self, x: float, width: float) -> np.ndarray:
        """Weight of the brow around x: fades slowly up the forehead, fast towards the eye."""
        rise = self.y - _BROW_HEIGHT
        vertical = np.where(rise > 0, np.exp(-((rise / 2.6) ** 2)), np.exp(-((rise / 0.62) ** 2)))
        return self.soft * vertical * np.exp(-(((self.x - x) / width) ** 2)) * smoothstep(self.z, 1.0, 5.0)

    def move_lids(self, upper: float, lower: float) -> np.ndarray:
        """Turn the left lids about the eye by shares of the way to the closing line (negative: open wider)."""
        turn = upper * self.upper_lid * (self.closed_angle - self.upper_angle)
        turn = turn + lower * self.lower_lid * (self.closed_angle - self.lower_angle)
        grow = max(upper, 0.0) * self.upper_lid * self.upper_radius_change
        grow = grow + max(lower, 0.0) * self.lower_lid * self.lower_radius_change
        radius, angle = self.lid_radius + grow, self.lid_angle + turn
        y = radius * np.sin(angle) - self.lid_radius * np.sin(self.lid_angle)
        z = radius * np.cos(angle) - self.lid_radius * np.cos(self.lid_angle)
        return np.stack([0 * y, y, z], -1)

    def turn_eyeball(self, pitch_down: float, yaw_left: float) -> np.ndarray:
        """Turn the left eyeball by degrees (down, towards the person's left)."""
        chosen = self.mesh.is_part("eyeball") & (self.x > 0)
        offset = self.points - EYE_CENTRE
        turned = rotate_about_x(offset, pitch_down)
        sine, cosine = np.sin(np.radians(yaw_left)), np.cos(np.radians(yaw_left))
        turned = np.stack(
            [
                cosine * turned[:, 0] + sine * turned[:, 2],
                turned[:, 1],
                cosine * turned[:, 2] - sine * turned[:, 0],
            ],
            -1,
        )
        return np.where(chosen[:, None], turned - offset, 0.0)


def rotate_about_x(points: np.ndarray, degrees: float) -> np.ndarray:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.stack(
        [
            points[:, 0],
            cosine * points[:, 1] - sine * points[:, 2],
            sine * points[:, 1] + cosine * points[:, 2],
        ],
        -1,
    )
