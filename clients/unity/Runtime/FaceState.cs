// SPDX-License-Identifier: MIT OR Apache-2.0
using UnityEngine;

namespace Facetrackd
{
    /// <summary>
    /// What is known of a face at the moment, in Unity's space: x right, y up, z forward, metres, left-handed. The avatar
    /// looks along +z, so that its own left is -x: a subject who turns left turns about y by a negative angle.
    /// </summary>
    public sealed class FaceState
    {
        /// <summary>Measured at the moment; false while a lost face fades and where there is none.</summary>
        public bool IsTracked;

        /// <summary>By <see cref="Blendshapes.Names"/>, 0 to 1.</summary>
        public readonly float[] Weights = new float[Blendshapes.Count];

        /// <summary>The neck's turn. The ring knows heads only: there it is none.</summary>
        public Quaternion Neck = Quaternion.identity;

        /// <summary>The head's turn on the neck.</summary>
        public Quaternion Head = Quaternion.identity;

        /// <summary>The eyes' turns in the head.</summary>
        public Quaternion LeftEye = Quaternion.identity, RightEye = Quaternion.identity;

        /// <summary>
        /// Where the head is, from the camera; the camera looks along -z. From the ring only: by VMC it is zero.
        /// </summary>
        public Vector3 Position = Vector3.zero;
    }
}
