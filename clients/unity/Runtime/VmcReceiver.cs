// SPDX-License-Identifier: MIT OR Apache-2.0
using System;
using System.Net;
using System.Net.Sockets;
using UnityEngine;

namespace Facetrackd
{
    /// <summary>
    /// Receives a face by the VMC protocol (OSC over UDP). Call <see cref="Poll"/> once a frame; it neither waits nor
    /// allocates. What is malformed is left out.
    /// </summary>
    public sealed class VmcReceiver : IDisposable
    {
        /// <summary>A sender that floods the port shall not hold up the picture.</summary>
        const int DatagramsPerPoll = 64;

        readonly Socket socket;
        readonly byte[] buffer = new byte[65536];
        // Of the message at hand: where its arguments stand, and the string among them.
        readonly float[] floats = new float[8];
        readonly int[] ints = new int[8];
        int floatCount, intCount, textStart, textLength;

        /// <summary>The face as it was received last.</summary>
        public readonly FaceState State = new FaceState();

        /// <summary>Frames received so far.</summary>
        public long Frames { get; private set; }

        /// <summary>Listens; throws SocketException where the port is taken.</summary>
        /// <param name="bindAddress">127.0.0.1 takes this machine's senders only, 0.0.0.0 everyone's.</param>
        public VmcReceiver(int port = 39539, string bindAddress = "127.0.0.1")
        {
            socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                socket.Blocking = false;
                socket.Bind(new IPEndPoint(IPAddress.Parse(bindAddress), port));
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        public void Dispose()
        {
            socket.Dispose();
        }

        /// <summary>Takes what has arrived. True where a frame was completed.</summary>
        public bool Poll()
        {
            long before = Frames;
            // Not `Available`: that is 0 for an empty datagram too, and who sends one would silence all that follow.
            for (int i = 0; i < DatagramsPerPoll && socket.Poll(0, SelectMode.SelectRead); i++)
            {
                try
                {
                    Read(0, socket.Receive(buffer));
                }
                catch (SocketException)
                {
                    // On Windows, an answer of ours that nobody wanted. The next datagram is as good.
                }
            }
            return Frames != before;
        }

        /// <summary>One message or bundle.</summary>
        void Read(int start, int end)
        {
            int at = start, length;
            if (!ReadString(ref at, end, out length)) return;
            if (Is(start, length, "#bundle"))
            {
                at += 8; // time tag
                while (at + 4 <= end)
                {
                    int size = ReadInt(at);
                    at += 4;
                    if (size <= 0 || size > end - at) return;
                    Read(at, at + size);
                    at += size;
                }
            }
            else if (ReadArguments(at, end))
            {
                Apply(start, length);
            }
        }

        bool ReadArguments(int at, int end)
        {
            int tags = at, tagCount;
            floatCount = intCount = textLength = 0;
            textStart = at;
            if (!ReadString(ref at, end, out tagCount) || tagCount == 0 || buffer[tags] != ',') return false;
            for (int i = 1; i < tagCount; i++)
            {
                byte tag = buffer[tags + i];
                if (tag == 's')
                {
                    textStart = at;
                    if (!ReadString(ref at, end, out textLength)) return false;
                }
                else if ((tag == 'f' || tag == 'i') && at + 4 <= end && floatCount < 8 && intCount < 8)
                {
                    if (tag == 'i') ints[intCount++] = ReadInt(at);
                    else floats[floatCount++] = ReadFloat(at);
                    at += 4;
                }
                else
                {
                    return false;
                }
            }
            return true;
        }

        void Apply(int address, int length)
        {
            if (Is(address, length, "/VMC/Ext/Blend/Val") && floatCount == 1)
            {
                int shape = Blendshapes.Of(buffer, textStart, textLength);
                if (shape >= 0 && IsFinite(floats[0])) State.Weights[shape] = Mathf.Clamp01(floats[0]);
            }
            else if (Is(address, length, "/VMC/Ext/Bone/Pos") && floatCount == 7)
            {
                for (int i = 3; i < 7; i++) if (!IsFinite(floats[i])) return;
                // The protocol speaks Unity's own space: nothing is to be turned round.
                var turn = new Quaternion(floats[3], floats[4], floats[5], floats[6]);
                if (Is(textStart, textLength, "Neck")) State.Neck = turn;
                else if (Is(textStart, textLength, "Head")) State.Head = turn;
                else if (Is(textStart, textLength, "LeftEye")) State.LeftEye = turn;
                else if (Is(textStart, textLength, "RightEye")) State.RightEye = turn;
            }
            else if (Is(address, length, "/VMC/Ext/OK") && intCount > 0)
            {
                State.IsTracked = ints[0] == 1 && (intCount < 4 || ints[3] == 1);
            }
            else if (Is(address, length, "/VMC/Ext/Blend/Apply"))
            {
                Frames++;
            }
        }

        static bool IsFinite(float value)
        {
            return !float.IsNaN(value) && !float.IsInfinity(value);
        }

        bool Is(int start, int length, string text)
        {
            if (length != text.Length) return false;
            for (int i = 0; i < length; i++) if (buffer[start + i] != text[i]) return false;
            return true;
        }

        /// <summary>Passes a string and its padding.</summary>
        bool ReadString(ref int at, int end, out int length)
        {
            int stop = at;
            while (stop < end && buffer[stop] != 0) stop++;
            length = stop - at;
            at += (length / 4 + 1) * 4;
            return stop < end && at <= end;
        }

        int ReadInt(int at)
        {
            return buffer[at] << 24 | buffer[at + 1] << 16 | buffer[at + 2] << 8 | buffer[at + 3];
        }

        unsafe float ReadFloat(int at)
        {
            int bits = ReadInt(at);
            return *(float*)&bits;
        }
    }
}
