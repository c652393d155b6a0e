// SPDX-License-Identifier: MIT OR Apache-2.0
using System;

namespace Facetrackd
{
    /// <summary>ARKit's 52 coefficients in ARKit's order. Left and right are the subject's.</summary>
    public static class Blendshapes
    {
        public const int Count = 52;

        /// <summary>ARKit's names, such as jawOpen.</summary>
        public static readonly string[] Names =
        {
            "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
            "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
            "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose",
            "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
            "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
            "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
            "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
            "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
            "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
            "noseSneerRight", "tongueOut",
        };

        /// <summary>
        /// The coefficient that a mesh's blendshape shows, or -1. Takes jawOpen, JawOpen, jaw_open, eyeBlink_L, and any of
        /// them with something before it: blendShape1.jawOpen, face_JawOpen.
        /// </summary>
        public static int OfMesh(string meshName)
        {
            string plain = meshName.Replace("_", "").Replace(" ", "").Replace("-", "").ToLowerInvariant();
            // eyeBlink_L; a name that ends so without the underscore is none of ARKit's.
            if (meshName.EndsWith("_L", StringComparison.OrdinalIgnoreCase)) plain = plain.Substring(0, plain.Length - 1) + "left";
            if (meshName.EndsWith("_R", StringComparison.OrdinalIgnoreCase)) plain = plain.Substring(0, plain.Length - 1) + "right";
            for (int i = 0; i < Count; i++)
                if (plain.EndsWith(Names[i].ToLowerInvariant(), StringComparison.Ordinal)) return i;
            return -1;
        }

        /// <summary>The coefficient of this ASCII name, its case left out of account, or -1. Allocates nothing.</summary>
        internal static int Of(byte[] bytes, int start, int length)
        {
            for (int i = 0; i < Count; i++)
                if (Names[i].Length == length && IsSame(Names[i], bytes, start)) return i;
            return -1;
        }

        static bool IsSame(string name, byte[] bytes, int start)
        {
            for (int i = 0; i < name.Length; i++)
                if ((bytes[start + i] | 0x20) != (name[i] | 0x20)) return false;
            return true;
        }
    }
}
