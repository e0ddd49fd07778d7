"""Which of a mesh's 478 points lie where, and what follows from those alone: keypoints and head turn.

Indices are MediaPipe's (Kartynnik et al., 2019; irises: Grishchenko et al., 2020). Left and right are the
image's, for an upright face.
"""

from __future__ import annotations

import numpy as np

from streamanon.types import Float

#: Points of the skin; those after them are the irises'.
SKIN_POINTS = 468
#: Middles of the irises, and the four points around each.
IRISES = (468, 473)
IRIS_RINGS = ((469, 470, 471, 472), (474, 475, 476, 477))

#: Corners of each eye: outer and inner; and from left to right.
EYE_ENDS = ((33, 133), (263, 362))
EYE_SIDES = ((33, 133), (362, 263))
#: The outer ones.
EYE_CORNERS = (33, 263)
#: Of each eye the upper and the lower lid, from left to right, corners included.
LIDS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
#: Middle of the upper and of the lower lid.
LID_MIDDLES = ((159, 145), (386, 374))
#: Both eyes' lids without corners, outer points first; each upper point lies above the lower one.
UPPER_LIDS = (246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398)
LOWER_LIDS = (7, 163, 144, 145, 153, 154, 155, 249, 390, 373, 374, 380, 381, 382)
#: Outlines of the openings, round from the outer corner.
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
#: Lids and iris of the left eye; and of the right one, point by point its mirror's.
LEFT_EYE = (33, *LOWER_LIDS[:7], 133, *UPPER_LIDS[:7], 468, 469, 470, 471, 472)
RIGHT_EYE = (263, *LOWER_LIDS[7:], 362, *UPPER_LIDS[7:], 473, 476, 475, 474, 477)

#: Outlines of the brows: five points below, five above; their outer and inner ends.
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
BROW_LINES = tuple(line for brow in BROWS for line in (brow[:5], brow[5:]))
BROW_ENDS = ((70, 107), (300, 336))

NOSE_TIP = 4
NOSE_BASE = 2
NOSE = (1, 2, 4, 5, 6, 19, 94, 98, 327, 97, 326, 168, 195, 197, 64, 294, 48, 278, 115, 344)
#: The bridge, and the line below the nostrils.
NOSE_LINES = ((168, 6, 197, 195, 5, 4), (64, 98, 97, 2, 326, 327, 294))
#: The ends of its wings.
NOSE_ENDS = (98, 327)
#: Around the nostrils.
NOSTRILS = (64, 240, 97, 2, 326, 460, 294, 1)
BRIDGE_TOP = 168

MOUTH_CORNERS = (61, 291)
INNER_MOUTH_CORNERS = (78, 308)
#: Middle of the inner edge of the upper and of the lower lip.
LIP_MIDDLES = (13, 14)
#: Middle of the outer edge of the upper and of the lower lip.
LIP_EDGES = (0, 17)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = OUTER_LIPS + INNER_LIPS
#: Enough points for the lips' convex hull.
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
#: All of the lower lip, its corners left out.
LOWER_LIP = (
    14, 87, 178, 88, 95, 317, 402, 318, 324, 17, 84, 181, 91, 146, 314, 405, 321, 375, 15, 16,
    86, 179, 89, 96, 316, 403, 319, 325, 85, 180, 90, 77, 315, 404, 320, 307,
)  # fmt: skip

#: The face's outline, round from the top; where it is widest.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
OVAL_SIDES = (234, 454)
FOREHEAD = (103, 67, 109, 10, 338, 297, 332, 333, 299, 337, 151, 108, 69, 104)
CHEEKS = (50, 280, 205, 425, 101, 330)
CHIN = (152, 148, 176, 377, 400, 175, 199, 200, 18, 83, 313, 201, 421, 208, 428, 171, 396)
#: From cheek to cheek below the eyes and round the chin: what a medical mask covers.
MASK_OUTLINE = (
    227, 116, 117, 118, 100, 126, 197, 355, 329, 347, 346, 345, 447, 401, 288, 397, 365, 379, 400, 152,
    176, 150, 136, 172, 58, 177,
)  # fmt: skip

#: The five keypoints of a detection: eyes, nose, mouth corners.
KEYPOINTS = (*IRISES, NOSE_TIP, *MOUTH_CORNERS)

#: How far the nose tip stands out before the line between the outline's sides, in halves of that line: of
#: 256 synthetic portraits turned by known angles, it gives the right one in the median, and four in five
#: within 5 degrees.
NOSE_DEPTH = 1.45
#: Squared width of an outline, px, that is no face's.
NO_WIDTH = 1e-6


def mesh_keypoints(points: Float) -> Float:
    """The five detection keypoints [5, 2] of a mesh [478, 2 or 3]."""
    return points[list(KEYPOINTS), :2]


def yaw_degrees(points: Float) -> float:
    """How far a head is turned, 0 for frontal, positive when the nose points right in the image; 90 where
    the outline has no width.

    From where the nose tip lies between the sides of the face oval, along the line between them.
    """
    left, right = points[OVAL_SIDES[0], :2], points[OVAL_SIDES[1], :2]
    across = right - left
    length = float(across @ across)
    if length < NO_WIDTH:
        return 90.0
    offset = 2 * float((points[NOSE_TIP, :2] - left) @ across) / length - 1
    return float(np.degrees(np.arctan(offset / NOSE_DEPTH)))
