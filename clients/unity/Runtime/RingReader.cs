// SPDX-License-Identifier: MIT OR Apache-2.0
using System;
using System.Diagnostics;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Threading;
using UnityEngine;

namespace Facetrackd
{
    /// <summary>
    /// Reads facetrackd's shared-memory ring (docs/shm.md, layout 1) on Linux. Reading never holds up the daemon, allocates
    /// nothing, and takes no sample that was being written. Not safe from two threads.
    /// </summary>
    public sealed unsafe class RingReader : IDisposable
    {
        public const int Landmarks = 478;
        const int HeaderSize = 256, SlotHeader = 64, FaceSize = 6080, MaxFaces = 16;
        const int Attempts = 64;

        readonly MemoryMappedFile file;
        readonly MemoryMappedViewAccessor view;
        readonly byte* memory;
        readonly int slotCount, slotSize, faceCapacity;
        readonly ulong[] slot;
        readonly Stopwatch sinceBeat = Stopwatch.StartNew();
        ulong next, lastBeat;

        /// <summary>Tells one run of the daemon from another.</summary>
        public readonly ulong Generation;

        /// <summary>Of the sample taken last: number of its frame, and of faces in it.</summary>
        public ulong Frame { get; private set; }
        public int FaceCount { get; private set; }

        /// <summary>Opens the ring of `facetrackd --shm NAME`. Throws IOException where there is none, or none we know.</summary>
        public static RingReader Open(string name)
        {
            if (name.Length == 0 || name.Length > 64 || name.IndexOf('/') >= 0) throw new ArgumentException("no name of a ring: " + name);
            return new RingReader("/dev/shm/facetrackd." + name);
        }

        RingReader(string path)
        {
            // The daemon holds the file open to write, and may put another in its place.
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            long length;
            try
            {
                length = stream.Length;
                if (length < HeaderSize) throw new IOException(path + " is no ring");
                file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
            }
            catch
            {
                stream.Dispose();
                throw;
            }
            view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            view.SafeMemoryMappedViewHandle.AcquirePointer(ref memory);
            slotSize = *(int*)(memory + 16);
            slotCount = *(int*)(memory + 20);
            faceCapacity = *(int*)(memory + 28);
            if (!IsRing(length))
            {
                Dispose();
                throw new IOException(path + " is no ring of facetrackd, or of another version");
            }
            Generation = Load(48);
            slot = new ulong[slotSize / 8];
        }

        bool IsRing(long length)
        {
            const string Magic = "FTRKRING";
            for (int i = 0; i < Magic.Length; i++) if (memory[i] != Magic[i]) return false;
            return *(int*)(memory + 8) == 1 && *(int*)(memory + 12) == HeaderSize && *(int*)(memory + 24) == FaceSize
                && *(int*)(memory + 32) == Blendshapes.Count && *(int*)(memory + 36) == Landmarks
                && faceCapacity >= 1 && faceCapacity <= MaxFaces && slotCount >= 2 && slotCount <= 1024
                && slotSize == SlotHeader + faceCapacity * FaceSize
                && length == HeaderSize + (long)slotCount * slotSize;
        }

        public void Dispose()
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
            view.Dispose();
            file.Dispose();
        }

        /// <summary>The daemon has said goodbye, or another has taken the ring's name: open it again.</summary>
        public bool IsClosed
        {
            get { return Load(56) != 0; }
        }

        /// <summary>No beat for so long: the daemon is dead, stopped or hanging. It beats several times a second.</summary>
        public bool IsSilent(double seconds = 2)
        {
            ulong beat = Load(64);
            if (beat != lastBeat)
            {
                lastBeat = beat;
                sinceBeat.Reset();
                sinceBeat.Start();
            }
            return sinceBeat.Elapsed.TotalSeconds > seconds;
        }

        /// <summary>Takes the newest sample; false where it is the one taken last.</summary>
        public bool TakeLatest()
        {
            for (int attempt = 0; attempt < Attempts; attempt++)
            {
                ulong published = Load(72);
                if (published == 0 || published == next) return false;
                if (Take(published - 1))
                {
                    next = published;
                    return true;
                }
            }
            return false;
        }

        bool Take(ulong number)
        {
            long from = HeaderSize + (long)(number % (ulong)slotCount) * slotSize;
            ulong whole = 2 * number + 2;
            if (Load(from) != whole) return false;
            Copy(from, 1, SlotHeader / 8);
            // The count may be torn; it is kept within the slot, and the check below throws it away.
            uint faces = Math.Min((uint)(slot[6] & 0xffffffff), (uint)faceCapacity);
            Copy(from, SlotHeader / 8, (int)faces * FaceSize / 8);
            // The words above are read before the sequence below.
            Thread.MemoryBarrier();
            if (Load(from) != whole) return false;
            Frame = slot[1];
            FaceCount = (int)faces;
            return true;
        }

        void Copy(long from, int word, int count)
        {
            for (int i = word; i < word + count; i++) slot[i] = Load(from + 8 * i);
        }

        ulong Load(long offset)
        {
            return Volatile.Read(ref *(ulong*)(memory + offset));
        }

        /// <summary>One face of the sample taken last, in Unity's space.</summary>
        public void Read(int face, FaceState state)
        {
            if (face < 0 || face >= FaceCount) throw new ArgumentOutOfRangeException("face");
            fixed (ulong* words = slot)
            {
                byte* at = (byte*)words + SlotHeader + face * FaceSize;
                float* rotation = (float*)(at + 28), place = (float*)(at + 64), weights = (float*)(at + 112);
                state.IsTracked = *(uint*)(at + 4) == 1;
                for (int i = 0; i < Blendshapes.Count; i++) state.Weights[i] = weights[i];
                state.Neck = Quaternion.identity;
                state.Head = Turn(rotation);
                // The camera's x is the subject's left, which is Unity's -x; its y is down, its z away from it.
                state.Position = new Vector3(-place[0], -place[1], -place[2]) * 0.001f;
                state.LeftEye = Look(rotation, (float*)(at + 88));
                state.RightEye = Look(rotation, (float*)(at + 100));
            }
        }

        /// <summary>A landmark of a face of the sample taken last: image pixels, y down; z nearer is smaller.</summary>
        public Vector3 Landmark(int face, int index)
        {
            if (face < 0 || face >= FaceCount) throw new ArgumentOutOfRangeException("face");
            if (index < 0 || index >= Landmarks) throw new ArgumentOutOfRangeException("index");
            fixed (ulong* words = slot)
            {
                float* p = (float*)((byte*)words + SlotHeader + face * FaceSize + 320) + 3 * index;
                return new Vector3(p[0], p[1], p[2]);
            }
        }

        /// <summary>
        /// From camera_from_head by rows. Facing the camera it is diag(1, -1, -1): with that taken away it is the head's turn
        /// in its own axes, x to its left; Unity has x to the avatar's right, so that turns about y and z change their sign.
        /// </summary>
        static Quaternion Turn(float* r)
        {
            float m00 = r[0], m01 = r[1], m02 = r[2];
            float m10 = -r[3], m11 = -r[4], m12 = -r[5];
            float m20 = -r[6], m21 = -r[7], m22 = -r[8];
            // The largest component first, so that no small number is divided by.
            float w = 1 + m00 + m11 + m22, x = 1 + m00 - m11 - m22, y = 1 - m00 + m11 - m22, z = 1 - m00 - m11 + m22;
            float qx, qy, qz, qw;
            if (w >= x && w >= y && w >= z) { qw = w; qx = m21 - m12; qy = m02 - m20; qz = m10 - m01; }
            else if (x >= y && x >= z) { qx = x; qw = m21 - m12; qy = m01 + m10; qz = m02 + m20; }
            else if (y >= z) { qy = y; qw = m02 - m20; qx = m01 + m10; qz = m12 + m21; }
            else { qz = z; qw = m10 - m01; qx = m02 + m20; qy = m12 + m21; }
            return Normalized(qx, -qy, -qz, qw);
        }

        /// <summary>The shortest turn from straight ahead to where an eye looks, in the head.</summary>
        static Quaternion Look(float* r, float* gaze)
        {
            // head_from_camera is the transpose.
            float x = -(r[0] * gaze[0] + r[3] * gaze[1] + r[6] * gaze[2]);
            float y = r[1] * gaze[0] + r[4] * gaze[1] + r[7] * gaze[2];
            float z = r[2] * gaze[0] + r[5] * gaze[1] + r[8] * gaze[2];
            return z > -0.999f ? Normalized(-y, x, 0, 1 + z) : Quaternion.identity;
        }

        static Quaternion Normalized(float x, float y, float z, float w)
        {
            float length = Mathf.Sqrt(x * x + y * y + z * z + w * w);
            return length > 0 ? new Quaternion(x / length, y / length, z / length, w / length) : Quaternion.identity;
        }
    }
}
