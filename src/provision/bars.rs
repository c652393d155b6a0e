//! Progress for people: a line on what is fetched, a bar while it comes.

use super::{Event, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;

/// Progress on standard error; bars only where that is a terminal.
#[derive(Debug, Default)]
pub struct Bars {
    bar: RefCell<Option<ProgressBar>>,
}

impl Bars {
    fn finish(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        self.finish();
        eprintln!("{text}");
    }
}

impl Progress for Bars {
    fn note(&self, event: Event<'_>) {
        match event {
            Event::Waiting => self.line("another facetrackd is installing; waiting for it"),
            Event::Fetch { package, licence, bytes } => {
                self.line(&format!("fetching {package} ({licence}, {:.0} MB)", bytes as f64 * 1e-6));
                let style = ProgressStyle::with_template("  {bar:40} {bytes}/{total_bytes} {eta}")
                    .expect("the template is constant");
                *self.bar.borrow_mut() = Some(ProgressBar::new(bytes).with_style(style));
            }
            Event::Received { bytes } => {
                if let Some(bar) = &*self.bar.borrow() {
                    bar.set_position(bytes.min(bar.length().unwrap_or(bytes)));
                }
            }
            Event::Unpack { file } => self.line(&format!("  unpacking {file}")),
            Event::Convert { network } => self.line(&format!("  converting {network}")),
            Event::Commit { .. } => self.finish(),
            Event::Installed { folder } => self.line(&format!("  installed in {}", folder.display())),
        }
    }
}
