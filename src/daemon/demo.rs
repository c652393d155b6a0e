//! The demo: the project's own clip through the whole pipeline, drawn in the terminal while VMC goes out.

use crate::capture::SourceSpec;
use crate::config::Config;
use crate::daemon::Request;
use crate::face::{Blendshape, Face, FaceSample, ibug68};
use crate::pipeline::{Options, Pace, Pipeline};
use crate::provision::InstalledPack;
use crossbeam_channel::{Receiver, select, tick};
use crossbeam_queue::ArrayQueue;
use glam::{DVec2, Vec2};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Line as Stroke};
use ratatui::widgets::{Block, Paragraph};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The clip, as it is in the repository: the demo needs no file beside the binary.
const CLIP: &[u8] = include_bytes!("../../assets/demo/demo.avi");
/// How often the picture is redrawn.
const REDRAW: Duration = Duration::from_millis(33);
/// Share of the image's height that is drawn: heads do not come near its edges.
const SHOWN_HEIGHT: f64 = 0.8;
/// How often the plain demo prints.
const PLAIN: Duration = Duration::from_secs(1);

/// Contours of the iBUG 68: first point, last point, whether the last joins the first.
const CONTOURS: [(usize, usize, bool); 9] = [
    (0, 16, false),
    (17, 21, false),
    (22, 26, false),
    (27, 30, false),
    (31, 35, false),
    (36, 41, true),
    (42, 47, true),
    (48, 59, true),
    (60, 67, true),
];

/// How the demo is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Drawn on the whole terminal.
    Drawn,
    /// A line a second.
    Plain,
}

/// Plays the clip until its end, or for ever where `repeat` is set; `q`, Esc or a stop request end it.
///
/// # Errors
/// The pipeline's first fault, or the terminal's.
pub fn run(
    config: &Config,
    pack: &InstalledPack,
    requests: &Receiver<Request>,
    repeat: bool,
    look: Look,
) -> anyhow::Result<()> {
    let options = Options {
        source: SourceSpec::Memory(CLIP),
        sequence: true,
        pace: Pace::Realtime,
        repeat,
        raw: false,
    };
    let latest = Arc::new(ArrayQueue::new(1));
    let feed = Arc::clone(&latest);
    // A copy a frame: the demo is looked at, not measured.
    let watch = Box::new(move |sample: &FaceSample| drop(feed.force_push(sample.clone())));
    let pipeline = Pipeline::start(config, &options, pack, Some(watch))?;
    let shown = match look {
        Look::Drawn => draw_loop(config, &pipeline, &latest, requests),
        Look::Plain => print_loop(&pipeline, &latest, requests),
    };
    if shown? == Ending::Asked {
        pipeline.stop();
    }
    let frames = pipeline.stats().frames.load(Ordering::Relaxed);
    let inferred = pipeline.stats().inferred.load(Ordering::Relaxed);
    let dropped = pipeline.replaced();
    pipeline.join()?;
    println!("played {frames} frames, measured {inferred}, dropped {dropped}");
    Ok(())
}

/// Why the demo is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Asked,
    ClipOver,
}

fn print_loop(
    pipeline: &Pipeline,
    latest: &ArrayQueue<FaceSample>,
    requests: &Receiver<Request>,
) -> anyhow::Result<Ending> {
    let beat = tick(PLAIN);
    loop {
        select! {
            recv(pipeline.done()) -> _ => return Ok(Ending::ClipOver),
            recv(requests) -> request => if matches!(request, Ok(Request::Stop) | Err(_)) {
                return Ok(Ending::Asked);
            },
            recv(beat) -> _ => if let Some(sample) = latest.pop() {
                println!("{}", plain_line(&sample));
            }
        }
    }
}

/// One line on the sample: where the head points and the strongest expressions.
fn plain_line(sample: &FaceSample) -> String {
    let time = sample.stream_time.as_secs_f64();
    let Some(face) = sample.tracked().next() else {
        return format!("{time:5.1} s  no face");
    };
    let angles = face.head.angles();
    let [yaw, pitch, roll] = [angles.yaw_rad, angles.pitch_rad, angles.roll_rad].map(f32::to_degrees);
    let mut strongest: Vec<_> = face.blendshapes.iter().collect();
    strongest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let expressions: Vec<_> = strongest.iter().take(3).map(|(b, v)| format!("{} {v:.2}", b.name())).collect();
    format!("{time:5.1} s  yaw {yaw:6.1}  pitch {pitch:6.1}  roll {roll:6.1}  {}", expressions.join("  "))
}

fn draw_loop(
    config: &Config,
    pipeline: &Pipeline,
    latest: &ArrayQueue<FaceSample>,
    requests: &Receiver<Request>,
) -> anyhow::Result<Ending> {
    let mut terminal = ratatui::try_init()?;
    let beat = tick(REDRAW);
    let mut board = Board { outputs: outputs_line(config), ..Board::default() };
    let outcome = loop {
        select! {
            recv(pipeline.done()) -> _ => break Ok(Ending::ClipOver),
            recv(requests) -> request => if matches!(request, Ok(Request::Stop) | Err(_)) {
                break Ok(Ending::Asked);
            },
            recv(beat) -> _ => {
                if let Some(sample) = latest.pop() {
                    board.sample = Some(sample);
                }
                board.note_ages(pipeline);
                match terminal.draw(|frame| board.draw(frame)).and_then(|_| wants_to_quit()) {
                    Ok(true) => break Ok(Ending::Asked),
                    Ok(false) => {}
                    Err(error) => break Err(error.into()),
                }
            }
        }
    };
    ratatui::try_restore()?;
    outcome
}

/// Whether `q`, Esc or Ctrl-C was pressed. Raw mode makes a key of Ctrl-C.
fn wants_to_quit() -> std::io::Result<bool> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn outputs_line(config: &Config) -> String {
    config.outputs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is on the screen.
#[derive(Default)]
struct Board {
    sample: Option<FaceSample>,
    outputs: String,
    ages: String,
    redraws: u32,
}

impl Board {
    /// Latency over the last second or so.
    fn note_ages(&mut self, pipeline: &Pipeline) {
        self.redraws += 1;
        if self.redraws.is_multiple_of(30)
            && let Some([p50, p99]) = pipeline.stats().age.drain([0.5, 0.99])
        {
            let [p50, p99] = [p50, p99].map(|age| age.as_secs_f32() * 1e3);
            self.ages = format!("frame to packet p50 {p50:.1} ms, p99 {p99:.1} ms");
        }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [top, middle, bottom] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(10), Constraint::Length(2)])
                .areas(frame.area());
        frame.render_widget(Line::from(" facetrackd demo — q quits ").bold().reversed(), top);
        frame.render_widget(Paragraph::new(self.footer()), bottom);
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(middle);
        let face = self.sample.as_ref().and_then(|s| s.tracked().next());
        draw_face(frame, left, self.sample.as_ref().map_or(Vec2::ONE, |s| s.image_size), face);
        draw_bars(frame, right, face);
    }

    fn footer(&self) -> Vec<Line<'_>> {
        let Some(sample) = &self.sample else { return vec![Line::from(" loading")] };
        let pose = sample.tracked().next().map_or_else(
            || " no face".to_owned(),
            |face| {
                let angles = face.head.angles();
                let [yaw, pitch, roll] =
                    [angles.yaw_rad, angles.pitch_rad, angles.roll_rad].map(f32::to_degrees);
                let at = face.head.translation_mm;
                format!(
                    " yaw {yaw:5.1}°  pitch {pitch:5.1}°  roll {roll:5.1}°   at {:4.0}, {:4.0}, {:4.0} mm   {}",
                    at.x, at.y, at.z, self.ages
                )
            },
        );
        let time = sample.stream_time.as_secs_f64();
        vec![Line::from(pose), Line::from(format!(" {time:4.1} s   to {}", self.outputs)).dim()]
    }
}

/// The 68 landmarks as contours.
fn draw_face(frame: &mut Frame<'_>, area: Rect, size: Vec2, face: Option<&Face>) {
    let window = window(area, size);
    let middle = size.as_dvec2() * 0.5;
    let canvas = Canvas::default()
        .block(Block::bordered().title(" landmarks "))
        .x_bounds([middle.x - window.x, middle.x + window.x])
        .y_bounds([middle.y - window.y, middle.y + window.y])
        .paint(|ctx| {
            let Some(face) = face else { return };
            let points = ibug68(&face.landmarks);
            let at = |i: usize| (f64::from(points[i].x), f64::from(size.y - points[i].y));
            for (first, last, closed) in CONTOURS {
                let back = closed.then_some((last, first));
                for (a, b) in (first..last).map(|i| (i, i + 1)).chain(back) {
                    let ((x1, y1), (x2, y2)) = (at(a), at(b));
                    ctx.draw(&Stroke { x1, y1, x2, y2, color: Color::Cyan });
                }
            }
        });
    frame.render_widget(canvas, area);
}

/// Half of the part of the image that is drawn: its middle, as high as [`SHOWN_HEIGHT`] says, and as wide as the area
/// makes it if a dot is to be square. A character holds 2 x 4 dots.
fn window(area: Rect, size: Vec2) -> DVec2 {
    let dots = DVec2::new(f64::from(area.width.max(3) - 2) * 2.0, f64::from(area.height.max(3) - 2) * 4.0);
    let height = f64::from(size.y) * SHOWN_HEIGHT * 0.5;
    DVec2::new(height * dots.x / dots.y, height)
}

/// The 52 coefficients as bars, in as many columns as the height asks for.
fn draw_bars(frame: &mut Frame<'_>, area: Rect, face: Option<&Face>) {
    let block = Block::bordered().title(" expressions ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = usize::from(inner.height.max(1));
    let columns = Blendshape::ALL.len().div_ceil(rows);
    let areas = Layout::horizontal(vec![Constraint::Fill(1); columns]).split(inner);
    for (area, names) in areas.iter().zip(Blendshape::ALL.chunks(rows)) {
        let width = usize::from(area.width);
        let lines: Vec<_> = names.iter().map(|&b| bar(b, face.map(|f| f.blendshapes[b]), width)).collect();
        frame.render_widget(Paragraph::new(lines), *area);
    }
}

/// One coefficient: its name, shortened to fit, over a bar as long as its value.
fn bar(blendshape: Blendshape, value: Option<f32>, width: usize) -> Line<'static> {
    let value = value.unwrap_or(0.0).clamp(0.0, 1.0);
    let text = format!("{:<width$.width$}", format!("{:4.2} {}", value, blendshape.name()));
    let filled = (value * width as f32).round() as usize;
    let (full, empty) = text.split_at(filled.min(text.len()));
    let lit = Style::new().bg(Color::Blue).fg(Color::White);
    Line::from(vec![Span::styled(full.to_owned(), lit), Span::raw(empty.to_owned())])
}
