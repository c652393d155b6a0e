//! The graphics device, its pipelines, and what all workers share: textures and fixed meshes.

use super::mesh::{HeadMesh, Material, StaticVertex};
use super::pack::{Pack, Picture};
use super::rng::Rng;
use super::textures::{self, Encoding};
use super::uniform::wgsl_struct;
use super::wrinkles;
use std::collections::HashMap;

/// Bytes between two faces' uniforms.
pub const UNIFORM_STRIDE: u32 = 1024;
/// Samples of a pixel.
pub const SAMPLES: u32 = 4;
/// What the picture is drawn in: the square root of linear sensor values.
pub const COLOR_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
/// Reversed depth.
pub const DEPTH_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;
/// Side of the key light's shadow map.
pub const SHADOW_SIDE: u32 = 256;

/// Why there is no device to draw with.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No Vulkan device answers.
    #[error(
        "no Vulkan device was found; install a graphics driver, or Mesa's software one (Debian: mesa-vulkan-drivers)"
    )]
    NoDevice,
    /// None of this name.
    #[error("no Vulkan device's name contains {wanted:?}; there are: {found:?} (--gpu NAME)")]
    NoSuchDevice {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// The driver refuses.
    #[error(
        "the Vulkan device {name} refused to start: {source}; update its driver or choose another with --gpu"
    )]
    Refused {
        /// The device.
        name: String,
        /// What it said.
        source: wgpu::RequestDeviceError,
    },
}

/// Which pipeline draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Backdrop.
    Background,
    /// A part of the head.
    Head(Material),
    /// Hair.
    Hair,
    /// Shoulders, things.
    Solid,
    /// Lenses.
    Lens,
}

/// A mesh that never changes, on the device.
pub struct FixedMesh {
    /// Static half of its vertices.
    pub statics: wgpu::Buffer,
    /// Its triangles.
    pub indices: wgpu::Buffer,
    /// How many corners.
    pub index_count: u32,
    /// How many vertices.
    pub vertex_count: usize,
}

/// The device and everything on it that does not change from face to face.
pub struct Gpu {
    /// The device's name, as its driver gives it.
    pub name: String,
    /// Whether it is a program on the processor.
    pub is_software: bool,
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    pub(super) pipelines: HashMap<Pass, wgpu::RenderPipeline>,
    pub(super) shadow_pipeline: wgpu::RenderPipeline,
    pub(super) visibility: wgpu::ComputePipeline,
    pub(super) face_layout: wgpu::BindGroupLayout,
    pub(super) shadow_layout: wgpu::BindGroupLayout,
    pub(super) textures: Vec<wgpu::TextureView>,
    pub(super) smooth: wgpu::Sampler,
    pub(super) compare: wgpu::Sampler,
    pub(super) head: FixedMesh,
    pub(super) torso: FixedMesh,
    pub(super) hair: Vec<FixedMesh>,
}

impl Gpu {
    /// Opens a device whose name contains `wanted`, or the best there is, and moves the pack's pictures there.
    ///
    /// # Errors
    /// Where no Vulkan device answers, none has that name, or the driver refuses.
    pub fn open(pack: &Pack, mesh: &HeadMesh, wanted: Option<&str>) -> Result<Self, DeviceError> {
        let (name, is_software, device, queue) = open_device(wanted)?;
        let textures = upload_pictures(&device, &queue, pack);
        let face_layout = face_layout(&device, true);
        let shadow_layout = self::face_layout(&device, false);
        let sampler = |compare, mode| {
            device.create_sampler(&wgpu::SamplerDescriptor {
                address_mode_u: mode,
                address_mode_v: mode,
                mag_filter: wgpu::FilterMode::Linear,
                min_filter: wgpu::FilterMode::Linear,
                mipmap_filter: wgpu::MipmapFilterMode::Nearest,
                compare,
                ..wgpu::SamplerDescriptor::default()
            })
        };
        let head = FixedMesh::new(&device, &queue, &mesh.statics, &mesh.indices);
        let (torso_statics, torso_indices) = torso_mesh(pack);
        let hair = pack.hair.iter().map(|h| {
            let (_, statics, indices) = textures::split_seams(h);
            FixedMesh::new(&device, &queue, &statics, &indices)
        });
        Ok(Self {
            pipelines: pipelines(&device, &face_layout),
            shadow_pipeline: shadow_pipeline(&device, &shadow_layout),
            visibility: visibility_pipeline(&device),
            smooth: sampler(None, wgpu::AddressMode::Repeat),
            compare: sampler(Some(wgpu::CompareFunction::LessEqual), wgpu::AddressMode::ClampToEdge),
            torso: FixedMesh::new(&device, &queue, &torso_statics, &torso_indices),
            hair: hair.collect(),
            head,
            face_layout,
            shadow_layout,
            textures,
            name,
            is_software,
            device,
            queue,
        })
    }
}

impl FixedMesh {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, statics: &[StaticVertex], indices: &[u32]) -> Self {
        let buffer = |data: &[u8], usage| {
            let size = data.len().next_multiple_of(4) as u64;
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            let b = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            });
            queue.write_buffer(&b, 0, data);
            b
        };
        Self {
            statics: buffer(bytemuck::cast_slice(statics), wgpu::BufferUsages::VERTEX),
            indices: buffer(bytemuck::cast_slice(indices), wgpu::BufferUsages::INDEX),
            index_count: indices.len() as u32,
            vertex_count: statics.len(),
        }
    }
}

fn open_device(wanted: Option<&str>) -> Result<(String, bool, wgpu::Device, wgpu::Queue), DeviceError> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    if adapters.is_empty() {
        return Err(DeviceError::NoDevice);
    }
    if let Some(wanted) = wanted {
        let found: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
        adapters.retain(|a| a.get_info().name.to_lowercase().contains(&wanted.to_lowercase()));
        if adapters.is_empty() {
            return Err(DeviceError::NoSuchDevice { wanted: wanted.to_owned(), found });
        }
    }
    let rank = |a: &wgpu::Adapter| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(rank);
    let adapter = &adapters[0];
    let info = adapter.get_info();
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
        .map_err(|source| DeviceError::Refused { name: info.name.clone(), source })?;
    Ok((info.name, info.device_type == wgpu::DeviceType::Cpu, device, queue))
}

fn upload_pictures(device: &wgpu::Device, queue: &wgpu::Queue, pack: &Pack) -> Vec<wgpu::TextureView> {
    let array =
        |pictures: Vec<&Picture>, encoding| textures::upload_array(device, queue, &pictures, encoding);
    vec![
        array(pack.skins.iter().map(|s| &s.face).collect(), Encoding::Color),
        array(pack.skins.iter().map(|s| &s.head).collect(), Encoding::Color),
        array(wrinkles::beside_brows(&pack.brows).iter().collect(), Encoding::Raw),
        array(pack.irises.iter().map(|(_, p)| p).collect(), Encoding::Color),
        array(pack.hair.iter().map(|h| &h.picture).collect(), Encoding::Raw),
        textures::upload_detail(device, queue, &mut Rng::new(0x0DE7_A115, 0)),
        array(pack.environments.iter().map(|e| &e.backdrop).collect(), Encoding::Color),
    ]
}

fn torso_mesh(pack: &Pack) -> (Vec<StaticVertex>, Vec<u32>) {
    // Its colour is the face's own and is set with the shape; see `scene`.
    let statics = vec![StaticVertex::default(); pack.torso.verts.len()];
    (statics, pack.torso.tri.iter().flatten().copied().collect())
}

fn face_layout(device: &wgpu::Device, with_textures: bool) -> wgpu::BindGroupLayout {
    let both = wgpu::ShaderStages::VERTEX_FRAGMENT;
    let entry = |binding, visibility, ty| wgpu::BindGroupLayoutEntry { binding, visibility, ty, count: None };
    let uniform = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: true,
        min_binding_size: None,
    };
    let mut entries = vec![entry(0, both, uniform)];
    if with_textures {
        let fragment = wgpu::ShaderStages::FRAGMENT;
        entries.push(entry(1, fragment, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)));
        for binding in 2..=9 {
            let single = binding == 7 || binding == 9;
            let ty = wgpu::BindingType::Texture {
                sample_type: if binding == 9 {
                    wgpu::TextureSampleType::Depth
                } else {
                    wgpu::TextureSampleType::Float { filterable: true }
                },
                view_dimension: if single {
                    wgpu::TextureViewDimension::D2
                } else {
                    wgpu::TextureViewDimension::D2Array
                },
                multisampled: false,
            };
            entries.push(entry(binding, fragment, ty));
        }
        entries.push(entry(10, fragment, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Comparison)));
    }
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../shaders/", $name, ".wgsl"))
    };
}

fn module(device: &wgpu::Device, label: &str, parts: &[&str]) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(parts.concat().into());
    device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source })
}

/// Position and packed normal; then what stays: texture coordinates, masks, shade.
pub(super) const VERTEX_STRIDE: u64 = 16;

const MOVING: [wgpu::VertexAttribute; 2] = wgpu::vertex_attr_array![0 => Float32x3, 1 => Snorm16x2];
const FIXED: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![2 => Float32x2, 3 => Unorm8x4, 4 => Unorm8x4];

fn vertex_layout(attributes: &[wgpu::VertexAttribute]) -> wgpu::VertexBufferLayout<'_> {
    wgpu::VertexBufferLayout {
        array_stride: VERTEX_STRIDE,
        step_mode: wgpu::VertexStepMode::Vertex,
        attributes,
    }
}

fn pipelines(device: &wgpu::Device, layout: &wgpu::BindGroupLayout) -> HashMap<Pass, wgpu::RenderPipeline> {
    let head = wgsl_struct() + shader!("common");
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let mesh_vertex = module(device, "vertex", &[&head, shader!("vertex")]);
    let eye_vertex = module(device, "eye_vertex", &[&head, shader!("eye_vertex")]);
    let back_vertex = module(device, "background_vertex", &[&head, shader!("background_vertex")]);
    let skin = shader!("skin_common");
    let passes: [(Pass, &str, Vec<&str>); 9] = [
        (Pass::Background, "background", vec![shader!("background")]),
        (Pass::Head(Material::Face), "skin_face", vec![skin, shader!("skin_face")]),
        (Pass::Head(Material::Head), "skin_head", vec![skin, shader!("skin_head")]),
        (Pass::Head(Material::Mouth), "mouth", vec![shader!("mouth")]),
        (Pass::Head(Material::Eye), "eye", vec![shader!("eye")]),
        (Pass::Head(Material::Lash), "lash", vec![shader!("lash")]),
        (Pass::Hair, "hair", vec![shader!("hair")]),
        (Pass::Solid, "solid", vec![shader!("solid")]),
        (Pass::Lens, "lens", vec![shader!("lens")]),
    ];
    let build = |(pass, label, parts): (Pass, &str, Vec<&str>)| {
        let mut source = vec![head.as_str()];
        source.extend(parts);
        let fragment = module(device, label, &source);
        let vertex = match pass {
            Pass::Background => &back_vertex,
            Pass::Head(Material::Eye) => &eye_vertex,
            _ => &mesh_vertex,
        };
        (pass, pipeline(device, &layout, pass, vertex, &fragment))
    };
    passes.into_iter().map(build).collect()
}

fn pipeline(
    device: &wgpu::Device,
    layout: &wgpu::PipelineLayout,
    pass: Pass,
    vertex: &wgpu::ShaderModule,
    fragment: &wgpu::ShaderModule,
) -> wgpu::RenderPipeline {
    let buffers = if pass == Pass::Background {
        vec![]
    } else {
        vec![Some(vertex_layout(&MOVING)), Some(vertex_layout(&FIXED))]
    };
    let two_sided =
        matches!(pass, Pass::Hair | Pass::Solid | Pass::Lens | Pass::Head(Material::Lash) | Pass::Background);
    let blended = pass == Pass::Lens;
    let coverage = matches!(pass, Pass::Hair | Pass::Head(Material::Lash));
    let target = wgpu::ColorTargetState {
        format: COLOR_FORMAT,
        blend: blended.then_some(wgpu::BlendState::ALPHA_BLENDING),
        write_mask: wgpu::ColorWrites::ALL,
    };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module: vertex,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &buffers,
        },
        primitive: wgpu::PrimitiveState {
            cull_mode: (!two_sided).then_some(wgpu::Face::Back),
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: Some(wgpu::DepthStencilState {
            format: DEPTH_FORMAT,
            depth_write_enabled: Some(!blended && pass != Pass::Background),
            depth_compare: Some(wgpu::CompareFunction::GreaterEqual),
            stencil: wgpu::StencilState::default(),
            bias: wgpu::DepthBiasState::default(),
        }),
        multisample: wgpu::MultisampleState { count: SAMPLES, mask: !0, alpha_to_coverage_enabled: coverage },
        fragment: Some(wgpu::FragmentState {
            module: fragment,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(target)],
        }),
        multiview_mask: None,
        cache: None,
    })
}

fn shadow_pipeline(device: &wgpu::Device, layout: &wgpu::BindGroupLayout) -> wgpu::RenderPipeline {
    // The pass writes the map, so it must not have the map bound: its shader sees the uniform alone.
    let source = wgsl_struct() + "@group(0) @binding(0) var<uniform> face: Face;\n" + shader!("shadow");
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("shadow"),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: &module(device, "shadow", &[&source]),
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[Some(vertex_layout(&MOVING[..1]))],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: Some(wgpu::DepthStencilState {
            format: DEPTH_FORMAT,
            depth_write_enabled: Some(true),
            depth_compare: Some(wgpu::CompareFunction::LessEqual),
            stencil: wgpu::StencilState::default(),
            bias: wgpu::DepthBiasState { constant: 0, slope_scale: 1.5, clamp: 0.0 },
        }),
        multisample: wgpu::MultisampleState::default(),
        fragment: None,
        multiview_mask: None,
        cache: None,
    })
}

fn visibility_pipeline(device: &wgpu::Device) -> wgpu::ComputePipeline {
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("visibility"),
        layout: None,
        module: &module(device, "visibility", &[shader!("visibility")]),
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}
