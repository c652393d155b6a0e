//! The `facetrackd` binary: reads the command line, sets the log up, calls the library.

use anyhow::Context;
use clap::{CommandFactory, Parser};
use facetrackd::cli::{Cli, Command, DemoArgs, ModelsAction, TrackArgs};
use facetrackd::config::{Config, DEFAULT_TOML};
use facetrackd::daemon::{self, Look};
use facetrackd::{capture, provision};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: facetrackd::alloc::CountingAllocator = facetrackd::alloc::CountingAllocator;

/// What a shell expects of a program that was called wrongly.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let drawn = matches!(&cli.command, Some(Command::Demo(args)) if look(args) == Look::Drawn);
    init_log(cli.verbose, drawn);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("facetrackd: {error:#}");
            let usage = error.downcast_ref::<facetrackd::config::ConfigError>().is_some();
            if usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => track(&cli.track),
        Some(Command::Demo(args)) => demo(&args),
        Some(Command::Cameras { json }) => cameras(json),
        Some(Command::Models { action }) => models(&action),
        Some(Command::CheckConfig { path, print }) => check_config(path, print),
        #[cfg(feature = "render")]
        Some(Command::RenderFaces(args)) => Ok(facetrackd::gpu::render_faces(&args)?),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "facetrackd", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Standard error, or the journal where systemd gives one. Nothing while the terminal is drawn on.
fn init_log(verbose: u8, drawn: bool) {
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::{EnvFilter, fmt, registry};
    if drawn {
        return;
    }
    let level = ["info", "debug", "trace"][usize::from(verbose.min(2))];
    let default = format!("warn,facetrackd={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    #[cfg(target_os = "linux")]
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry().with(filter).with(journal).init();
        return;
    }
    let ansi = std::io::stderr().is_terminal();
    registry().with(filter).with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi)).init();
}

fn track(args: &TrackArgs) -> anyhow::Result<()> {
    // The command line stays in force when the file is read again.
    let path = args.config.clone().or_else(daemon::user_config);
    let read = || -> anyhow::Result<Config> {
        let mut config = path.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        args.apply(&mut config);
        Ok(config)
    };
    let config = read()?;
    let options = args.options(&config);
    let requests = daemon::listen().context("cannot listen for signals")?;
    let pack = provide(&config)?;
    daemon::track(&config, &options, &pack, &requests, &read)
}

/// The runtime, and the packaged networks where they are asked for.
fn provide(config: &Config) -> Result<provision::InstalledPack, provision::ProvisionError> {
    let bars = provision::Bars::default();
    if config.tracking.needs_packaged() { provision::ensure(&bars) } else { provision::ensure_runtime(&bars) }
}

fn look(args: &DemoArgs) -> Look {
    if args.plain || !std::io::stdout().is_terminal() { Look::Plain } else { Look::Drawn }
}

fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let config = Config { output: args.outputs.configs(), ..Config::default() };
    let requests = daemon::listen().context("cannot listen for signals")?;
    let pack = provide(&config)?;
    daemon::demo(&config, &pack, &requests, args.repeat, look(args))
}

fn cameras(json: bool) -> anyhow::Result<()> {
    let cameras = capture::list_cameras()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&cameras)?);
    } else if cameras.is_empty() {
        println!("no camera found; is it plugged in, and does `ls /dev/video*` show it?");
    }
    if !json {
        for camera in &cameras {
            println!("{camera}");
        }
    }
    Ok(())
}

fn models(action: &ModelsAction) -> anyhow::Result<()> {
    match action {
        ModelsAction::Install => {
            let pack = provision::install(&provision::Bars::default())?;
            println!("installed in {}", pack.dir.display());
            Ok(())
        }
        ModelsAction::List { json } | ModelsAction::Verify { json } => {
            let verify = matches!(action, ModelsAction::Verify { .. });
            let report = if verify { provision::verify()? } else { provision::list()? };
            if *json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            anyhow::ensure!(
                !verify || report.is_whole(),
                "something is missing or damaged; `facetrackd models install` mends it"
            );
            Ok(())
        }
    }
}

fn check_config(path: Option<PathBuf>, print: bool) -> anyhow::Result<()> {
    let path = path.or_else(daemon::user_config);
    let config = path.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    let name =
        path.as_deref().map_or("the built-in configuration", |p: &Path| p.to_str().unwrap_or("the file"));
    if print {
        if path.is_none() { print!("{DEFAULT_TOML}") } else { print!("{}", toml::to_string_pretty(&config)?) }
    } else {
        println!("{name} is sound");
    }
    Ok(())
}
