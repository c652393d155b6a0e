// SPDX-License-Identifier: MIT OR Apache-2.0
using System;
using System.Collections.Generic;
using UnityEngine;

namespace Facetrackd
{
    /// <summary>Moves the blendshapes of meshes, a head and eyes by the face that facetrackd tracks.</summary>
    [AddComponentMenu("Facetrackd/Face Driver")]
    public sealed class FaceDriver : MonoBehaviour
    {
        public enum FaceSource
        {
            /// <summary>facetrackd --vmc HOST:PORT</summary>
            Vmc,
            /// <summary>facetrackd --shm NAME, on this Linux machine</summary>
            SharedMemory,
        }

        public FaceSource source = FaceSource.Vmc;

        [Header("VMC")]
        public int port = 39539;
        [Tooltip("127.0.0.1 takes this machine's senders only, 0.0.0.0 everyone's.")]
        public string bindAddress = "127.0.0.1";

        [Header("Shared memory")]
        public string ringName = "face";

        [Header("Avatar")]
        [Tooltip("Meshes with ARKit's blendshapes: jawOpen, JawOpen, eyeBlink_L, with any prefix.")]
        public SkinnedMeshRenderer[] meshes = new SkinnedMeshRenderer[0];
        [Tooltip("Turns with the head. May stay empty, as all below.")]
        public Transform head;
        [Tooltip("Takes the neck's share; without it the head takes all.")]
        public Transform neck;
        public Transform leftEye, rightEye;
        [Tooltip("Looks where the avatar looks along its +z. Needed where bones have axes of their own.")]
        public Transform avatar;
        [Tooltip("What a whole movement is on the mesh: 100 in most, 1 in some imported from glTF.")]
        public float fullWeight = 100f;

        /// <summary>The face as it was received last.</summary>
        public FaceState State { get; private set; }

        /// <summary>A blendshape of a mesh and the coefficient that moves it.</summary>
        struct Link
        {
            public SkinnedMeshRenderer Mesh;
            public int Index, Shape;
        }

        readonly List<Link> links = new List<Link>();
        readonly Dictionary<Transform, Quaternion> rest = new Dictionary<Transform, Quaternion>();
        readonly FaceState ringState = new FaceState();
        VmcReceiver vmc;
        RingReader ring;
        float retryAt;

        void OnEnable()
        {
            State = ringState;
            FindShapes();
            foreach (Transform bone in new[] { neck, head, leftEye, rightEye })
                if (bone != null && !rest.ContainsKey(bone)) rest.Add(bone, bone.localRotation);
            if (source == FaceSource.Vmc)
            {
                vmc = new VmcReceiver(port, bindAddress);
                State = vmc.State;
            }
        }

        void OnDisable()
        {
            if (vmc != null) vmc.Dispose();
            if (ring != null) ring.Dispose();
            vmc = null;
            ring = null;
        }

        void Update()
        {
            bool isNew = source == FaceSource.Vmc ? vmc != null && vmc.Poll() : PollRing();
            if (!isNew) return;
            for (int i = 0; i < links.Count; i++)
                links[i].Mesh.SetBlendShapeWeight(links[i].Index, State.Weights[links[i].Shape] * fullWeight);
            if (neck != null) Turn(neck, State.Neck);
            if (head != null) Turn(head, neck != null ? State.Head : State.Neck * State.Head);
            if (leftEye != null) Turn(leftEye, State.LeftEye);
            if (rightEye != null) Turn(rightEye, State.RightEye);
        }

        /// <summary>Call it after meshes were changed while this is enabled.</summary>
        public void FindShapes()
        {
            links.Clear();
            foreach (SkinnedMeshRenderer mesh in meshes)
            {
                if (mesh == null || mesh.sharedMesh == null) continue;
                for (int i = 0; i < mesh.sharedMesh.blendShapeCount; i++)
                {
                    int shape = Blendshapes.OfMesh(mesh.sharedMesh.GetBlendShapeName(i));
                    if (shape >= 0) links.Add(new Link { Mesh = mesh, Index = i, Shape = shape });
                }
            }
        }

        bool PollRing()
        {
            // A daemon that was started again makes a new ring under the old name.
            if (ring == null || ring.IsClosed || ring.IsSilent()) Reopen();
            if (ring == null || !ring.TakeLatest()) return false;
            if (ring.FaceCount == 0)
            {
                State.IsTracked = false;
                return false;
            }
            ring.Read(0, State);
            return true;
        }

        void Reopen()
        {
            if (Time.unscaledTime < retryAt) return;
            retryAt = Time.unscaledTime + 1f;
            State.IsTracked = false;
            RingReader fresh;
            try
            {
                fresh = RingReader.Open(ringName);
            }
            catch (System.IO.IOException)
            {
                return; // Not there yet: facetrackd is not running.
            }
            catch (UnauthorizedAccessException)
            {
                return; // Another user's.
            }
            if (ring != null && ring.Generation == fresh.Generation)
            {
                fresh.Dispose();
                return;
            }
            if (ring != null) ring.Dispose();
            ring = fresh;
        }

        void Turn(Transform bone, Quaternion turn)
        {
            // The turn is the avatar's; the bone's parent may have axes of its own.
            Quaternion parent = bone.parent != null ? bone.parent.rotation : Quaternion.identity;
            Quaternion frame = avatar != null ? Quaternion.Inverse(parent) * avatar.rotation : Quaternion.identity;
            bone.localRotation = frame * turn * Quaternion.Inverse(frame) * rest[bone];
        }
    }
}
