// SPDX-License-Identifier: MIT OR Apache-2.0
// Reads a face by script: put it on any object, start `facetrackd --vmc 127.0.0.1:39539`, and watch the console.
using Facetrackd;
using UnityEngine;

public sealed class ReadFace : MonoBehaviour
{
    static readonly int JawOpen = System.Array.IndexOf(Blendshapes.Names, "jawOpen");

    VmcReceiver receiver;

    void OnEnable()
    {
        receiver = new VmcReceiver();
    }

    void OnDisable()
    {
        receiver.Dispose();
    }

    void Update()
    {
        if (receiver.Poll() && receiver.State.IsTracked)
            Debug.Log("jawOpen " + receiver.State.Weights[JawOpen]);
    }
}
