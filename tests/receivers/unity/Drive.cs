// Runs a FaceDriver without Unity: `vmc PORT` or `ring NAME`. Says `ready`, then a line of JSON whenever anything moves.
using System;
using System.Globalization;
using System.Reflection;
using System.Threading;
using Facetrackd;
using UnityEngine;

static class Drive
{
    // As meshes name them, and one that is none of ARKit's.
    static readonly string[] Shapes =
    {
        "blendShape1.eyeBlink_L", "EyeBlinkRight", "face_jawOpen", "hair", "mouth_smile_left", "jaw_left", "eyeLookInRight",
    };

    static void Send(FaceDriver driver, string message)
    {
        typeof(FaceDriver).GetMethod(message, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(driver, null);
    }

    static string Vector(Vector3 v)
    {
        return string.Format(CultureInfo.InvariantCulture, "[{0:R},{1:R},{2:R}]", v.x, v.y, v.z);
    }

    static int Main(string[] args)
    {
        var mesh = new SkinnedMeshRenderer { sharedMesh = new Mesh() };
        mesh.sharedMesh.Names.AddRange(Shapes);
        // A body that faces somewhere else, and a head whose own axes are not the avatar's.
        var avatar = new Transform { localRotation = new Quaternion(0, 0.6f, 0, 0.8f) };
        var chest = new Transform { parent = avatar, localRotation = new Quaternion(0.5f, 0.5f, 0.5f, 0.5f) };
        var rest = new Quaternion(0, 0, 0.6f, 0.8f);
        var head = new Transform { parent = chest, localRotation = rest };
        var eye = new Transform();
        var driver = new FaceDriver { meshes = new[] { mesh }, head = head, leftEye = eye, avatar = avatar };
        if (args[0] == "vmc") driver.port = int.Parse(args[1]);
        else
        {
            driver.source = FaceDriver.FaceSource.SharedMemory;
            driver.ringName = args[1];
        }
        Send(driver, "OnEnable");
        Console.WriteLine("ready");
        string last = "";
        for (;;)
        {
            Send(driver, "Update");
            // What the head did, seen from the avatar: its turn in the world less the one it had at rest.
            Quaternion atRest = chest.rotation * rest;
            Quaternion turn = Quaternion.Inverse(avatar.rotation) * head.rotation * Quaternion.Inverse(atRest) * avatar.rotation;
            string shapes = "";
            foreach (var pair in mesh.Weights)
                shapes += string.Format(CultureInfo.InvariantCulture, "\"{0}\":{1:R},", Shapes[pair.Key], pair.Value);
            string now = "{" + shapes + "\"nose\":" + Vector(turn * new Vector3(0, 0, 1))
                + ",\"right_ear\":" + Vector(turn * new Vector3(1, 0, 0))
                + ",\"gaze\":" + Vector(eye.localRotation * new Vector3(0, 0, 1))
                + ",\"place\":" + Vector(driver.State.Position)
                + ",\"tracked\":" + (driver.State.IsTracked ? "true" : "false") + "}";
            if (now != last) Console.WriteLine(now);
            last = now;
            Thread.Sleep(1);
        }
    }
}
