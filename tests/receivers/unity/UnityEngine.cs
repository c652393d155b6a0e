// As much of Unity's API as the package in clients/unity uses, with Unity's meaning, for compiling and running it in Mono.
using System;
using System.Collections.Generic;
using System.Diagnostics;

namespace UnityEngine
{
    public struct Vector3
    {
        public float x, y, z;

        public Vector3(float x, float y, float z)
        {
            this.x = x;
            this.y = y;
            this.z = z;
        }

        public static Vector3 zero { get { return new Vector3(); } }

        public static Vector3 operator *(Vector3 v, float k) { return new Vector3(v.x * k, v.y * k, v.z * k); }
    }

    public struct Quaternion
    {
        public float x, y, z, w;

        public Quaternion(float x, float y, float z, float w)
        {
            this.x = x;
            this.y = y;
            this.z = z;
            this.w = w;
        }

        public static Quaternion identity { get { return new Quaternion(0, 0, 0, 1); } }

        public static Quaternion Inverse(Quaternion q) { return new Quaternion(-q.x, -q.y, -q.z, q.w); }

        public static Quaternion operator *(Quaternion a, Quaternion b)
        {
            return new Quaternion(
                a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
                a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x,
                a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w,
                a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z);
        }

        public static Vector3 operator *(Quaternion q, Vector3 v)
        {
            Quaternion r = q * new Quaternion(v.x, v.y, v.z, 0) * Inverse(q);
            return new Vector3(r.x, r.y, r.z);
        }
    }

    public static class Mathf
    {
        public static float Clamp01(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }
        public static float Sqrt(float value) { return (float)Math.Sqrt(value); }
    }

    public static class Time
    {
        static readonly Stopwatch watch = Stopwatch.StartNew();
        public static float unscaledTime { get { return (float)watch.Elapsed.TotalSeconds; } }
    }

    public static class Debug
    {
        public static void Log(object message) { Console.WriteLine(message); }
    }

    public class Object { }

    public class Component : Object { }

    public class MonoBehaviour : Component { }

    public sealed class Transform : Component
    {
        public Transform parent;
        public Quaternion localRotation = Quaternion.identity;
        public Quaternion rotation { get { return parent != null ? parent.rotation * localRotation : localRotation; } }
    }

    public sealed class Mesh : Object
    {
        public readonly List<string> Names = new List<string>();
        public int blendShapeCount { get { return Names.Count; } }
        public string GetBlendShapeName(int index) { return Names[index]; }
    }

    public sealed class SkinnedMeshRenderer : Component
    {
        public Mesh sharedMesh;
        public readonly Dictionary<int, float> Weights = new Dictionary<int, float>();
        public void SetBlendShapeWeight(int index, float value) { Weights[index] = value; }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string name) { }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class HeaderAttribute : Attribute
    {
        public HeaderAttribute(string text) { }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string text) { }
    }
}
