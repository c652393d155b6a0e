#version 330
// Shades one part of the head: irradiance, one wrapped key light, one highlight.
in vec3 light_normal, light_position, anchor;
in vec2 uv;
in float open_sky;
out vec4 colour;
uniform sampler2D albedo, brow;
uniform sampler2DShadow shadow;
uniform mat4 shadow_from_light;
uniform float shadow_softness_mm, shadow_extent_mm;
uniform int material;   // see `Material` in renderer.py
uniform vec3 tint, hair_colour, brow_colour, key_direction, key_colour;
uniform vec3 irradiance_sh[9];
uniform float gloss, exposure, iris_uv_scale, shadow_strength;

const int FACE = 0, SKIN = 1, MOUTH = 2, EYE = 3, HAIR = 4, LASH = 5;

vec3 irradiance(vec3 n) {
    return max(irradiance_sh[0] + irradiance_sh[1] * n.y + irradiance_sh[2] * n.z + irradiance_sh[3] * n.x
        + irradiance_sh[4] * n.x * n.y + irradiance_sh[5] * n.y * n.z + irradiance_sh[6] * (3. * n.z * n.z - 1.)
        + irradiance_sh[7] * n.x * n.z + irradiance_sh[8] * (n.x * n.x - n.y * n.y), vec3(0));
}

float hash(float x) { return fract(sin(x * 127.1) * 43758.5); }

// Share of the key light that arrives: 16 taps on a spiral, the pixel's own turn of it hides the taps.
float key_share(vec3 n) {
    vec3 at = (shadow_from_light * vec4(light_position + n * 2.5, 1)).xyz * .5 + .5;
    float turn = 6.2832 * fract(52.9829 * fract(dot(gl_FragCoord.xy, vec2(.06711056, .00583715)))), sum = 0.;
    float reach = shadow_softness_mm / (2. * shadow_extent_mm);
    for (int i = 0; i < 16; i++) {
        float r = sqrt((float(i) + .5) / 16.), a = turn + float(i) * 2.39996;
        sum += texture(shadow, vec3(at.xy + r * reach * vec2(cos(a), sin(a)), at.z - .002));
    }
    return sum / 16.;
}

void main() {
    vec3 n = normalize(light_normal), v = normalize(-light_position);
    if (dot(n, v) < 0.) n = -n;
    vec2 at = material == EYE ? .5 + (uv - .5) * iris_uv_scale : uv;
    vec4 texel = texture(albedo, at);
    float shine = gloss, hardness = 24., ao = mix(.06, 1., clamp(open_sky * 1.5, 0., 1.));
    vec3 base = pow(texel.rgb, vec3(2.2)) * tint;
    float alpha = 1.;
    if (material == FACE) {
        float b = uv.y > .5 ? texture(brow, vec2(uv.x, uv.y * 2. - 1.)).r : 0.;
        base = mix(base, brow_colour, b * .92);
        shine *= 1. - .6 * b;
    } else if (material == MOUTH) {
        ao = mix(.05, 1., clamp(open_sky * 1.3, 0., 1.)) * clamp((anchor.z - 5.) / 5., .1, 1.);
        shine = .25 * ao;
        hardness = 60.;
    } else if (material == EYE) {
        shine = 1.6;
        hardness = 260.;
        ao = .55 + .45 * smoothstep(4.1, 3.2, anchor.y);   // the upper lid's shade
    } else if (material == HAIR) {
        // Sharpened alpha: hair thins out over a pixel instead of ending in steps.
        alpha = clamp((texel.g - .4) / max(fwidth(texel.g), .03) + .5, 0., 1.);
        if (alpha < .04) discard;
        base = pow(hair_colour, vec3(2.2)) * pow(texel.r * 2.3, 1.6);
        shine = .5 * gloss;
        hardness = 14.;
        ao = .55 + .45 * smoothstep(-1., 1., dot(normalize(light_normal), v));
    } else if (material == LASH) {
        // Single hairs along the lid (x) that thin towards their tip (y = 1).
        float x = uv.x * 13. + uv.y * (hash(floor(uv.x * 13.)) - .5) * .3, k = floor(x);
        float len = .5 + .5 * hash(k + anchor.x);
        if (abs(fract(x) - .5) > .13 * (1. - uv.y / len)) discard;
        base = vec3(.012);
        shine = .05;
    }
    float nl = dot(n, key_direction);
    // Skin scatters: red wraps furthest around the terminator.
    vec3 lit = material <= SKIN ? clamp((vec3(nl) + vec3(.28, .14, .08)) / vec3(1.28, 1.14, 1.08), 0., 1.) : vec3(max(nl, 0.));
    float arrives = material == LASH ? 1. : mix(1., key_share(n), shadow_strength);
    if (material == MOUTH) arrives = mix(1., arrives, .3);   // its occlusion is baked already
    lit *= material <= SKIN ? pow(vec3(arrives), vec3(.75, 1., 1.1)) : vec3(arrives);
    vec3 h = normalize(key_direction + v);
    float fresnel = .35 + .65 * pow(1. - max(dot(n, v), 0.), 4.);
    vec3 highlight = key_colour * pow(max(dot(n, h), 0.), hardness) * step(0., nl) * arrives + .12 * irradiance(reflect(-v, n));
    vec3 linear = exposure * (base * (irradiance(n) + key_colour * lit) * ao + shine * fresnel * highlight * ao);
    linear = linear * (1. + linear / 6.) / (1. + linear);   // Reinhard, white at 6
    colour = vec4(pow(linear, vec3(1. / 2.2)), alpha);
}
