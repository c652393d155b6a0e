//! Clients of tungstenite's, and of nobody's.

use super::super::testing::{face, sample_of};
use super::*;
use crate::clock::MonoTime;
use crate::face::{Blendshape, FaceSample};
use crate::geom::Angles;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

type Client = WebSocket<TcpStream>;

fn service(config: &WebSocketConfig, limits: Limits) -> Service {
    open_with(&WebSocketConfig { listen: "127.0.0.1:0".into(), ..config.clone() }, limits).unwrap()
}

fn stream(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.listens_on().unwrap()).unwrap();
    // A test that waits for ever says nothing.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn connect(service: &Service, origin: Option<&str>) -> Result<Client, String> {
    let mut request = format!("ws://{}/", service.listens_on().unwrap()).into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    tungstenite::client(request, stream(service)).map(|(client, _)| client).map_err(|e| e.to_string())
}

fn sample(n: u64) -> FaceSample {
    let mut subject = face(Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 });
    subject.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
    FaceSample { index: n, ..sample_of([subject]) }
}

fn frame(client: &mut Client) -> Value {
    loop {
        match client.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => client.flush().unwrap(),
            other => panic!("{other}"),
        }
    }
}

/// Sends samples until the client has one. A sample that is sent while a client connects passes it by.
fn first_frame(service: &mut Service, client: &mut Client) -> Value {
    client.get_mut().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let value = loop {
        service.send(&sample(1), MonoTime::now());
        match client.read() {
            Ok(Message::Text(text)) => break serde_json::from_str(&text).unwrap(),
            Ok(_) => {}
            Err(tungstenite::Error::Io(e)) if would_wait(&e) => {}
            Err(error) => panic!("{error}"),
        }
    };
    client.get_mut().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    value
}

fn would_wait(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

#[test]
fn a_message_has_the_fields_of_a_json_line() {
    let mut service = service(&WebSocketConfig::default(), Limits::default());
    let mut client = connect(&service, Some("http://localhost:8000")).unwrap();
    let message = first_frame(&mut service, &mut client);
    assert_eq!((&message["frame"], &message["t"]), (&1.into(), &0.0.into()));
    let face = &message["faces"][0];
    assert_eq!(face["tracked"], true);
    assert_eq!(face["blendshapes"].as_object().unwrap().len(), 52);
    assert_eq!(face["blendshapes"]["eyeBlinkLeft"], 0.75);
    assert!((face["head"]["yaw_deg"].as_f64().unwrap() - 28.6479).abs() < 1e-3);
    assert_eq!(face["head"]["rotation"].as_array().unwrap().len(), 3);
    assert_eq!(face["gaze"]["left"].as_array().unwrap().len(), 3);
}

#[test]
fn a_page_from_elsewhere_is_refused_and_one_that_is_allowed_is_not() {
    let config =
        WebSocketConfig { origins: vec!["https://friend.example".into()], ..WebSocketConfig::default() };
    let service = service(&config, Limits::default());
    for refused in ["https://evil.example", "null", "https://friend.example:444"] {
        let error = connect(&service, Some(refused)).expect_err(refused);
        assert!(error.contains("403"), "{refused}: {error}");
    }
    for allowed in [Some("https://friend.example"), Some("http://127.0.0.1:5173"), Some("file://"), None] {
        assert!(connect(&service, allowed).is_ok(), "{allowed:?}");
    }
}

#[test]
fn a_client_that_was_slow_gets_the_newest_sample_and_few_old_ones() {
    const LAST: u64 = 2000;
    let mut service = service(&WebSocketConfig::default(), Limits::default());
    let mut slow = connect(&service, None).unwrap();
    let mut quick = connect(&service, None).unwrap();
    first_frame(&mut service, &mut slow);
    first_frame(&mut service, &mut quick);
    // The quick one reads each as it comes, and so shows that the server has seen it; the slow one does nothing.
    for n in 2..=LAST {
        service.send(&sample(n), MonoTime::now());
        if n % 100 == 0 {
            while frame(&mut quick)["frame"] != n {}
        }
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&LAST) {
        seen.push(frame(&mut slow)["frame"].as_u64().unwrap());
    }
    assert!(seen.len() <= 6, "the slow client had to wade through {seen:?}");
}

#[test]
fn more_clients_than_allowed_are_turned_away_and_a_place_that_is_left_is_taken() {
    let mut service =
        service(&WebSocketConfig { clients_max: 2, ..WebSocketConfig::default() }, Limits::default());
    let first = connect(&service, None).unwrap();
    let mut second = connect(&service, None).unwrap();
    assert!(connect(&service, None).is_err());
    first_frame(&mut service, &mut second);
    drop(first);
    // The server learns of it when it learns of it.
    let mut third = loop {
        if let Ok(client) = connect(&service, None) {
            break client;
        }
    };
    first_frame(&mut service, &mut third);
}

#[test]
fn whoever_says_nothing_or_nonsense_loses_the_connection_and_others_keep_theirs() {
    let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
    let mut service = service(&WebSocketConfig::default(), limits);
    let mut good = connect(&service, None).unwrap();
    let mut silent = stream(&service);
    let mut rude = stream(&service);
    rude.write_all(b"\x16\x03\x01 no HTTP at all \r\n\r\n").unwrap();
    let mut endless = stream(&service);
    let header = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 200_000]].concat();
    // It may be gone before all is written.
    endless.write_all(&header).unwrap_or_else(|e| eprintln!("{e}"));
    let mut large = connect(&service, None).unwrap();
    large.send(Message::Binary(vec![7; 100_000].into())).unwrap_or_else(|e| eprintln!("{e}"));
    for stream in [&mut silent, &mut rude, &mut endless] {
        let mut answer = Vec::new();
        // The end of the stream, by a reset or not; never a timeout.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert!(!would_wait(&error), "{error}");
        }
    }
    let refusal = std::iter::repeat_with(|| large.read()).find_map(Result::err).unwrap();
    assert!(!matches!(&refusal, tungstenite::Error::Io(e) if would_wait(e)), "{refusal}");
    first_frame(&mut service, &mut good);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
    let mut service = service(&WebSocketConfig::default(), limits);
    let mut deaf = connect(&service, None).unwrap();
    first_frame(&mut service, &mut deaf);
    let mut quick = connect(&service, None).unwrap();
    while service.traffic().failed == 0 {
        first_frame(&mut service, &mut quick);
    }
}

#[test]
fn clients_are_told_the_end() {
    let mut service = service(&WebSocketConfig::default(), Limits::default());
    let mut client = connect(&service, None).unwrap();
    first_frame(&mut service, &mut client);
    service.close();
    let end = std::iter::repeat_with(|| client.read())
        .find(|m| !matches!(m, Ok(Message::Text(_) | Message::Ping(_))));
    assert!(matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
}

#[test]
fn a_taken_port_is_named() {
    let service = service(&WebSocketConfig::default(), Limits::default());
    let address = service.listens_on().unwrap().to_string();
    let error =
        open(&WebSocketConfig { listen: address.clone(), ..WebSocketConfig::default() }).err().unwrap();
    assert!(error.to_string().contains(&address), "{error}");
}
