//! Draws a batch of faces and brings pictures and visibility back.

use super::device::{
    COLOR_FORMAT, DEPTH_FORMAT, FixedMesh, Gpu, Pass, SAMPLES, SHADOW_SIDE, UNIFORM_STRIDE, VERTEX_STRIDE,
};
use super::mesh::{HeadMesh, Material, StaticVertex};
use super::uniform::FaceUniform;
use bytemuck::{Pod, Zeroable};
use std::sync::mpsc;

/// The moving half of a vertex.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct MovingVertex {
    /// Head space, millimetres.
    pub position: [f32; 3],
    /// Packed by [`super::mesh::pack_normal`].
    pub normal: [i16; 2],
}

/// Most vertices and corners that a face's own things (glasses, hands …) may have.
pub const THING_VERTICES: usize = 8192;
const THING_CORNERS: usize = 4 * THING_VERTICES;
/// Most points whose visibility is asked for.
pub const POINTS: usize = 512;

/// A face ready to be drawn.
#[derive(Default)]
pub struct DrawList {
    /// Its constants.
    pub uniform: Option<Box<FaceUniform>>,
    /// Head, then shoulders, then hair.
    pub vertices: Vec<MovingVertex>,
    /// The shoulders' static half; their colour is the face's own.
    pub torso_statics: Vec<StaticVertex>,
    /// Hair style.
    pub hair: Option<usize>,
    /// Things' vertices.
    pub things: Vec<MovingVertex>,
    /// Their static half.
    pub thing_statics: Vec<StaticVertex>,
    /// Opaque triangles of the things, then lenses.
    pub thing_indices: Vec<u32>,
    /// Corners of `thing_indices` that are opaque.
    pub solid_corners: usize,
    /// Whether the inside of the mouth can be seen.
    pub mouth: bool,
    /// Whether the key light is worth a shadow.
    pub shadow: bool,
    /// Points: pixel x, pixel y, depth in millimetres, unused.
    pub points: Vec<[f32; 4]>,
}

/// What was drawn of one face.
pub struct Drawn<'a> {
    /// RGBA rows from the top: square roots of half the linear sensor value.
    pub pixels: &'a [u8],
    /// For each point the share of it that is seen, 0 to 1.
    pub visible: &'a [f32],
}

/// Why drawing failed.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The device stopped answering.
    #[error("the graphics device stopped answering ({0}); fewer --workers use less of its memory")]
    Lost(String),
    /// A face has more than the batch has room for.
    #[error("a face has {0} vertices of things worn, more than there is room for; this is a bug")]
    TooMuch(usize),
}

/// Buffers and targets of one worker.
pub struct Target {
    width: u32,
    height: u32,
    slots: usize,
    slot_vertices: usize,
    color: wgpu::Texture,
    resolved: wgpu::TextureView,
    sampled: wgpu::TextureView,
    depth: wgpu::TextureView,
    shadow: wgpu::TextureView,
    uniforms: wgpu::Buffer,
    moving: wgpu::Buffer,
    torso_statics: wgpu::Buffer,
    things: wgpu::Buffer,
    thing_statics: wgpu::Buffer,
    thing_indices: wgpu::Buffer,
    points: wgpu::Buffer,
    shares: wgpu::Buffer,
    readback: wgpu::Buffer,
    face_group: wgpu::BindGroup,
    shadow_group: wgpu::BindGroup,
    visibility_groups: Vec<wgpu::BindGroup>,
}

fn buffer(gpu: &Gpu, size: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let descriptor =
        wgpu::BufferDescriptor { label: None, size: size as u64, usage, mapped_at_creation: false };
    gpu.device.create_buffer(&descriptor)
}

fn texture(
    gpu: &Gpu,
    (width, height): (u32, u32),
    samples: u32,
    format: wgpu::TextureFormat,
    usage: wgpu::TextureUsages,
) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: samples,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: usage | wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    })
}

impl Target {
    /// Room for `slots` faces in pictures of this size.
    pub fn new(gpu: &Gpu, width: u32, height: u32, slots: usize) -> Self {
        use wgpu::{BufferUsages as B, TextureUsages as T};
        let plain = wgpu::TextureViewDescriptor::default();
        // One picture for all: Mesa's software device (22.3) resolves samples into layer 0 whatever layer is asked for.
        let color = texture(gpu, (width, height), 1, COLOR_FORMAT, T::COPY_SRC);
        let resolved = color.create_view(&plain);
        let sampled = texture(gpu, (width, height), SAMPLES, COLOR_FORMAT, T::empty()).create_view(&plain);
        let depth =
            texture(gpu, (width, height), SAMPLES, DEPTH_FORMAT, T::TEXTURE_BINDING).create_view(&plain);
        let shadow =
            texture(gpu, (SHADOW_SIDE, SHADOW_SIDE), 1, DEPTH_FORMAT, T::TEXTURE_BINDING).create_view(&plain);
        let most_hair = gpu.hair.iter().map(|h| h.vertex_count).max().unwrap_or(0);
        let slot_vertices = gpu.head.vertex_count + gpu.torso.vertex_count + most_hair;
        let stride = VERTEX_STRIDE as usize;
        let vertices = |count: usize| buffer(gpu, slots * count * stride, B::VERTEX | B::COPY_DST);
        let uniforms = buffer(gpu, slots * UNIFORM_STRIDE as usize, B::UNIFORM | B::COPY_DST);
        let points = buffer(gpu, slots * POINTS * 16, B::STORAGE | B::COPY_DST);
        let shares = buffer(gpu, slots * POINTS * 4, B::STORAGE | B::COPY_SRC);
        let readback = buffer(
            gpu,
            slots * (padded_row(width) * height) as usize + slots * POINTS * 4,
            B::COPY_DST | B::MAP_READ,
        );
        let visibility_groups =
            (0..slots).map(|slot| visibility_group(gpu, slot, &depth, &points, &shares)).collect();
        Self {
            face_group: face_group(gpu, &uniforms, &shadow),
            shadow_group: shadow_group(gpu, &uniforms),
            moving: vertices(slot_vertices),
            torso_statics: vertices(gpu.torso.vertex_count),
            things: vertices(THING_VERTICES),
            thing_statics: vertices(THING_VERTICES),
            thing_indices: buffer(gpu, slots * THING_CORNERS * 4, B::INDEX | B::COPY_DST),
            width,
            height,
            slots,
            slot_vertices,
            color,
            resolved,
            sampled,
            depth,
            shadow,
            uniforms,
            points,
            shares,
            readback,
            visibility_groups,
        }
    }

    /// Faces that fit.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Draws up to `slots` faces and hands each result to `take`.
    ///
    /// # Errors
    /// Where the device is lost or a face does not fit.
    pub fn draw(
        &self,
        gpu: &Gpu,
        mesh: &HeadMesh,
        faces: &[DrawList],
        mut take: impl FnMut(usize, Drawn<'_>),
    ) -> Result<(), DrawError> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (slot, face) in faces.iter().enumerate().take(self.slots) {
            self.upload(gpu, slot, face)?;
            self.encode_shadow(gpu, mesh, slot, face, &mut encoder);
            self.encode_face(gpu, mesh, slot, face, &mut encoder);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&gpu.visibility);
            pass.set_bind_group(0, &self.visibility_groups[slot], &[]);
            pass.dispatch_workgroups(POINTS.div_ceil(64) as u32, 1, 1);
            drop(pass);
            self.copy_picture(&mut encoder, slot);
        }
        let pictures = self.slots as u64 * u64::from(padded_row(self.width) * self.height);
        encoder.copy_buffer_to_buffer(
            &self.shares,
            0,
            &self.readback,
            pictures,
            (self.slots * POINTS * 4) as u64,
        );
        let own = gpu.queue.submit([encoder.finish()]);
        let (sender, done) = mpsc::channel();
        self.readback.map_async(wgpu::MapMode::Read, .., move |r| {
            // The receiver lives until the answer comes; were it gone, nobody would ask.
            drop(sender.send(r));
        });
        // For this worker's own pictures: another's may still be drawn meanwhile.
        let wait = wgpu::PollType::Wait { submission_index: Some(own), timeout: None };
        gpu.device.poll(wait).map_err(|e| DrawError::Lost(e.to_string()))?;
        done.recv()
            .map_err(|e| DrawError::Lost(e.to_string()))?
            .map_err(|e| DrawError::Lost(e.to_string()))?;
        let view = self.readback.get_mapped_range(..).map_err(|e| DrawError::Lost(e.to_string()))?;
        let picture_bytes = (padded_row(self.width) * self.height) as usize;
        let shares: &[f32] = bytemuck::cast_slice(&view[self.slots * picture_bytes..]);
        for (slot, face) in faces.iter().enumerate() {
            let pixels = &view[slot * picture_bytes..(slot + 1) * picture_bytes];
            let visible = &shares[slot * POINTS..slot * POINTS + face.points.len()];
            take(slot, Drawn { pixels, visible });
        }
        drop(view);
        self.readback.unmap();
        Ok(())
    }

    fn upload(&self, gpu: &Gpu, slot: usize, face: &DrawList) -> Result<(), DrawError> {
        if face.things.len() > THING_VERTICES
            || face.thing_indices.len() > THING_CORNERS
            || face.points.len() > POINTS
        {
            return Err(DrawError::TooMuch(face.things.len()));
        }
        let stride = VERTEX_STRIDE as usize;
        let put = |buffer: &wgpu::Buffer, offset: usize, bytes: &[u8]| {
            if !bytes.is_empty() {
                gpu.queue.write_buffer(buffer, offset as u64, bytes);
            }
        };
        if let Some(uniform) = &face.uniform {
            put(&self.uniforms, slot * UNIFORM_STRIDE as usize, bytemuck::bytes_of(uniform.as_ref()));
        }
        put(&self.moving, slot * self.slot_vertices * stride, bytemuck::cast_slice(&face.vertices));
        put(
            &self.torso_statics,
            slot * gpu.torso.vertex_count * stride,
            bytemuck::cast_slice(&face.torso_statics),
        );
        put(&self.things, slot * THING_VERTICES * stride, bytemuck::cast_slice(&face.things));
        put(&self.thing_statics, slot * THING_VERTICES * stride, bytemuck::cast_slice(&face.thing_statics));
        put(&self.thing_indices, slot * THING_CORNERS * 4, bytemuck::cast_slice(&face.thing_indices));
        put(&self.points, slot * POINTS * 16, bytemuck::cast_slice(&face.points));
        Ok(())
    }

    fn moving_at(&self, slot: usize, vertex: usize) -> wgpu::BufferSlice<'_> {
        self.moving.slice(((slot * self.slot_vertices + vertex) as u64 * VERTEX_STRIDE)..)
    }

    fn encode_shadow(
        &self,
        gpu: &Gpu,
        mesh: &HeadMesh,
        slot: usize,
        face: &DrawList,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                view: &self.shadow,
                depth_ops: Some(wgpu::Operations {
                    load: wgpu::LoadOp::Clear(1.0),
                    store: wgpu::StoreOp::Store,
                }),
                stencil_ops: None,
            }),
            ..wgpu::RenderPassDescriptor::default()
        });
        if !face.shadow {
            return;
        }
        pass.set_pipeline(&gpu.shadow_pipeline);
        pass.set_bind_group(0, &self.shadow_group, &[slot as u32 * UNIFORM_STRIDE]);
        pass.set_vertex_buffer(0, self.moving_at(slot, 0));
        pass.set_index_buffer(gpu.head.indices.slice(..), wgpu::IndexFormat::Uint32);
        pass.draw_indexed(mesh.shadow.clone(), 0, 0..1);
        if let Some(style) = face.hair {
            let hair = &gpu.hair[style];
            pass.set_vertex_buffer(0, self.moving_at(slot, gpu.head.vertex_count + gpu.torso.vertex_count));
            pass.set_index_buffer(hair.indices.slice(..), wgpu::IndexFormat::Uint32);
            pass.draw_indexed(0..hair.index_count, 0, 0..1);
        }
        if face.solid_corners > 0 {
            pass.set_vertex_buffer(0, self.things.slice((slot * THING_VERTICES) as u64 * VERTEX_STRIDE..));
            pass.set_index_buffer(
                self.thing_indices.slice((slot * THING_CORNERS * 4) as u64..),
                wgpu::IndexFormat::Uint32,
            );
            pass.draw_indexed(0..face.solid_corners as u32, 0, 0..1);
        }
    }

    fn encode_face(
        &self,
        gpu: &Gpu,
        mesh: &HeadMesh,
        slot: usize,
        face: &DrawList,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &self.sampled,
                depth_slice: None,
                resolve_target: Some(&self.resolved),
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                    store: wgpu::StoreOp::Discard,
                },
            })],
            depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                view: &self.depth,
                depth_ops: Some(wgpu::Operations {
                    load: wgpu::LoadOp::Clear(0.0),
                    store: wgpu::StoreOp::Store,
                }),
                stencil_ops: None,
            }),
            ..wgpu::RenderPassDescriptor::default()
        });
        pass.set_bind_group(0, &self.face_group, &[slot as u32 * UNIFORM_STRIDE]);
        // The nearest first: what they hide is not shaded. Lenses show what is behind them and come last.
        self.draw_things(gpu, slot, face, &mut pass, Pass::Solid, 0..face.solid_corners);
        if let Some(style) = face.hair {
            pass.set_pipeline(&gpu.pipelines[&Pass::Hair]);
            pass.set_vertex_buffer(0, self.moving_at(slot, gpu.head.vertex_count + gpu.torso.vertex_count));
            pass.set_vertex_buffer(1, gpu.hair[style].statics.slice(..));
            draw_fixed(&mut pass, &gpu.hair[style]);
        }
        pass.set_vertex_buffer(0, self.moving_at(slot, 0));
        pass.set_vertex_buffer(1, gpu.head.statics.slice(..));
        pass.set_index_buffer(gpu.head.indices.slice(..), wgpu::IndexFormat::Uint32);
        for material in [Material::Lash, Material::Face, Material::Eye, Material::Head, Material::Mouth] {
            if material != Material::Mouth || face.mouth {
                pass.set_pipeline(&gpu.pipelines[&Pass::Head(material)]);
                pass.draw_indexed(mesh.range(material), 0, 0..1);
            }
        }
        pass.set_pipeline(&gpu.pipelines[&Pass::Solid]);
        pass.set_vertex_buffer(0, self.moving_at(slot, gpu.head.vertex_count));
        let torso = (slot * gpu.torso.vertex_count) as u64 * VERTEX_STRIDE;
        pass.set_vertex_buffer(1, self.torso_statics.slice(torso..));
        draw_fixed(&mut pass, &gpu.torso);
        pass.set_pipeline(&gpu.pipelines[&Pass::Background]);
        pass.draw(0..3, 0..1);
        let lenses = face.solid_corners..face.thing_indices.len();
        self.draw_things(gpu, slot, face, &mut pass, Pass::Lens, lenses);
    }

    /// Draws a part of what the face wears or what is before it.
    fn draw_things(
        &self,
        gpu: &Gpu,
        slot: usize,
        face: &DrawList,
        pass: &mut wgpu::RenderPass,
        kind: Pass,
        corners: std::ops::Range<usize>,
    ) {
        if face.thing_indices.is_empty() || corners.is_empty() {
            return;
        }
        let first = (slot * THING_VERTICES) as u64 * VERTEX_STRIDE;
        pass.set_vertex_buffer(0, self.things.slice(first..));
        pass.set_vertex_buffer(1, self.thing_statics.slice(first..));
        let indices = self.thing_indices.slice((slot * THING_CORNERS * 4) as u64..);
        pass.set_index_buffer(indices, wgpu::IndexFormat::Uint32);
        pass.set_pipeline(&gpu.pipelines[&kind]);
        pass.draw_indexed(corners.start as u32..corners.end as u32, 0, 0..1);
    }

    fn copy_picture(&self, encoder: &mut wgpu::CommandEncoder, slot: usize) {
        let row = padded_row(self.width);
        encoder.copy_texture_to_buffer(
            self.color.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &self.readback,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: slot as u64 * u64::from(row * self.height),
                    bytes_per_row: Some(row),
                    rows_per_image: Some(self.height),
                },
            },
            wgpu::Extent3d { width: self.width, height: self.height, depth_or_array_layers: 1 },
        );
    }

    /// Bytes between two rows of [`Drawn::pixels`].
    pub fn row_bytes(&self) -> usize {
        padded_row(self.width) as usize
    }
}

fn draw_fixed(pass: &mut wgpu::RenderPass<'_>, mesh: &FixedMesh) {
    pass.set_index_buffer(mesh.indices.slice(..), wgpu::IndexFormat::Uint32);
    pass.draw_indexed(0..mesh.index_count, 0, 0..1);
}

fn padded_row(width: u32) -> u32 {
    (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT)
}

fn face_group(gpu: &Gpu, uniforms: &wgpu::Buffer, shadow: &wgpu::TextureView) -> wgpu::BindGroup {
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    let mut entries = vec![uniform_entry(uniforms), entry(1, wgpu::BindingResource::Sampler(&gpu.smooth))];
    entries
        .extend(gpu.textures.iter().zip(2..).map(|(t, b)| entry(b, wgpu::BindingResource::TextureView(t))));
    entries.push(entry(9, wgpu::BindingResource::TextureView(shadow)));
    entries.push(entry(10, wgpu::BindingResource::Sampler(&gpu.compare)));
    let layout = &gpu.face_layout;
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

fn uniform_entry(uniforms: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    let size = std::num::NonZeroU64::new(size_of::<FaceUniform>() as u64);
    let binding = wgpu::BufferBinding { buffer: uniforms, offset: 0, size };
    wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(binding) }
}

fn shadow_group(gpu: &Gpu, uniforms: &wgpu::Buffer) -> wgpu::BindGroup {
    let entries = [uniform_entry(uniforms)];
    let layout = &gpu.shadow_layout;
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

/// Depth within which a labelled point counts as seen: skin's own slope over a pixel, and lashes in front of lids.
const TOLERANCE_MM: f32 = 6.0;

fn visibility_group(
    gpu: &Gpu,
    slot: usize,
    depth: &wgpu::TextureView,
    points: &wgpu::Buffer,
    shares: &wgpu::Buffer,
) -> wgpu::BindGroup {
    let mut job = [0u8; 16];
    let base = (slot * POINTS) as u32;
    job[..4].copy_from_slice(&(POINTS as u32).to_le_bytes());
    job[4..8].copy_from_slice(&base.to_le_bytes());
    job[8..12].copy_from_slice(&super::camera::NEAR_MM.to_le_bytes());
    job[12..].copy_from_slice(&TOLERANCE_MM.to_le_bytes());
    let uniform = buffer(gpu, 16, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
    gpu.queue.write_buffer(&uniform, 0, &job);
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    let entries = [
        entry(0, wgpu::BindingResource::TextureView(depth)),
        entry(1, points.as_entire_binding()),
        entry(2, shares.as_entire_binding()),
        entry(3, uniform.as_entire_binding()),
    ];
    let layout = &gpu.visibility.get_bind_group_layout(0);
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}
