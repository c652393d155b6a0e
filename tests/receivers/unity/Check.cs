// As tests/ring/check.c, with the Unity client's reader: reads a ring whose writer is killed and restarted, and checks what
// it takes; the writer fills word k of a face of sample n with (7 n + k) mod 65521. Ends when the writer says goodbye.
using System;
using System.IO;
using System.Threading;
using Facetrackd;

static class Check
{
    static readonly FaceState face = new FaceState();

    static bool IsWhole(RingReader reader)
    {
        ulong n = reader.Frame;
        if (reader.FaceCount != 1 + (int)(n % 3)) return false;
        for (int i = 0; i < reader.FaceCount; i++)
        {
            reader.Read(i, face);
            for (int k = 0; k < Blendshapes.Count; k++)
                if (face.Weights[k] != Word(n, 28 + k)) return false;
            for (int k = 0; k < RingReader.Landmarks; k++)
            {
                var p = reader.Landmark(i, k);
                if (p.x != Word(n, 80 + 3 * k) || p.y != Word(n, 81 + 3 * k) || p.z != Word(n, 82 + 3 * k)) return false;
            }
        }
        return true;
    }

    static float Word(ulong n, int k)
    {
        return (7 * n + (ulong)k) % 65521;
    }

    static int Main(string[] args)
    {
        RingReader reader = null;
        long accepted = 0, generations = 0;
        ulong silent = 0;
        for (;;)
        {
            bool isClosed = reader == null || reader.IsClosed, isSilent = reader != null && reader.IsSilent(0.3);
            if (isSilent && silent != reader.Generation)
            {
                silent = reader.Generation;
                Console.WriteLine("silent " + silent);
            }
            if (isClosed || isSilent)
            {
                RingReader fresh = null;
                try
                {
                    fresh = RingReader.Open(args[0]);
                }
                catch (IOException)
                {
                }
                if (fresh != null && (reader == null || fresh.Generation != reader.Generation))
                {
                    if (reader != null) reader.Dispose();
                    reader = fresh;
                    generations++;
                    continue;
                }
                if (fresh != null) fresh.Dispose();
                if (fresh != null && isClosed) break;
            }
            if (reader != null && reader.TakeLatest())
            {
                if (!IsWhole(reader))
                {
                    Console.WriteLine("torn sample " + reader.Frame);
                    return 1;
                }
                accepted++;
            }
            else
            {
                Thread.Sleep(0);
            }
        }
        Console.WriteLine("accepted " + accepted + " generations " + generations);
        return 0;
    }
}
