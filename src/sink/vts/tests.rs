//! Against a server made from the documented protocol, which answers as it is told to.

use super::super::testing::{face, sample_of};
use super::*;
use crate::face::{Blendshape, FaceSample};
use crate::geom::Angles;
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use tungstenite::{Message, WebSocket};

/// What the server does with tokens.
#[derive(Clone, Copy, PartialEq)]
enum User {
    Allows,
    Denies,
}

/// One connection after the other; what it is asked goes to the test.
struct Studio {
    address: SocketAddr,
    asked: Receiver<Value>,
}

fn studio(user: User, known_token: &'static str) -> Studio {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (said, asked)) = (listener.local_addr().unwrap(), channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let Ok(mut socket) = tungstenite::accept(stream) else { continue };
            serve(&mut socket, user, known_token, &said);
        }
    });
    Studio { address, asked }
}

/// Until the client leaves, or 30 samples were injected.
fn serve(socket: &mut WebSocket<TcpStream>, user: User, known_token: &str, said: &Sender<Value>) {
    let mut injected = 0;
    while let Ok(Message::Text(text)) = socket.read() {
        let request: Value = serde_json::from_str(&text).unwrap();
        let kind = request["messageType"].as_str().unwrap().to_owned();
        let (answer, data) = answer(&kind, &request["data"], user, known_token);
        // An event that nobody asked for comes first.
        let event = json!({ "apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0", "timestamp": 1, "requestID": "x", "messageType": "TestEvent", "data": {} });
        socket.send(Message::text(event.to_string())).unwrap_or(());
        let envelope = json!({
            "apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0", "timestamp": 1_625_405_710_728_u64,
            "requestID": request["requestID"], "messageType": answer, "data": data,
        });
        said.send(request).unwrap_or(());
        if socket.send(Message::text(envelope.to_string())).is_err() {
            return;
        }
        injected += usize::from(kind == "InjectParameterDataRequest");
        if injected == 30 {
            return;
        }
    }
}

fn answer(kind: &str, data: &Value, user: User, known_token: &str) -> (String, Value) {
    let error =
        |id: i64, message: &str| ("APIError".to_owned(), json!({ "errorID": id, "message": message }));
    let fine = |data: Value| (kind.replace("Request", "Response"), data);
    let parameter = |name: &str, min: f32, max: f32, rest: f32| json!({ "name": name, "addedBy": "VTube Studio", "value": 0, "min": min, "max": max, "defaultValue": rest });
    match kind {
        "AuthenticationTokenRequest" if user == User::Denies => error(50, "User has denied API access"),
        "AuthenticationTokenRequest" => fine(json!({ "authenticationToken": known_token })),
        "AuthenticationRequest" => {
            fine(json!({ "authenticated": data["authenticationToken"] == known_token, "reason": "" }))
        }
        "InputParameterListRequest" => fine(json!({
            "modelLoaded": true, "modelName": "", "modelID": "",
            "defaultParameters": [
                parameter("FaceAngleX", -30.0, 30.0, 0.0), parameter("FaceAngleY", -30.0, 30.0, 0.0),
                parameter("FaceAngleZ", -90.0, 90.0, 0.0), parameter("EyeOpenLeft", 0.0, 2.0, 1.0),
                parameter("EyeLeftX", -1.0, 1.0, 0.0), parameter("MouthSmile", 0.0, 1.0, 0.5),
                parameter("TongueOut", 0.0, 1.0, 0.0), parameter("MousePositionX", -1.0, 1.0, 0.0),
                parameter("MouthOpen", 1.0, 1.0, 1.0),
            ],
            "customParameters": [parameter("JawOpen", -2.0, 2.0, 0.0)],
        })),
        "ParameterCreationRequest" if data["parameterName"] == "BrowInnerUp" => error(354, "too many"),
        "ParameterCreationRequest" => fine(json!({ "parameterName": data["parameterName"] })),
        "InjectParameterDataRequest" => {
            let ids = data["parameterValues"].as_array().unwrap();
            if ids.iter().any(|p| p["id"] == "CheekSquintLeft") {
                return error(453, "Parameter CheekSquintLeft is already being controlled by plugin X");
            }
            fine(json!({}))
        }
        other => error(1, other),
    }
}

impl Studio {
    /// The next request of this kind; samples are sent until it comes.
    fn next(&self, service: &mut Service, kind: &str) -> Value {
        let start = MonoTime::now();
        loop {
            assert!(MonoTime::now().since(start) < Duration::from_mins(1), "no {kind} came");
            service.send(&subject(), MonoTime::now());
            if let Ok(request) = self.asked.recv_timeout(Duration::from_millis(10))
                && request["messageType"] == kind
            {
                return request;
            }
        }
    }
}

fn subject() -> FaceSample {
    let mut subject = face(Angles { yaw_rad: 0.25, pitch_rad: -0.25, roll_rad: 0.125 });
    subject.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
    subject.blendshapes[Blendshape::JawOpen] = 0.5;
    sample_of([subject])
}

fn open_at(studio: &Studio, state: &Path) -> Service {
    let config = VtsConfig { address: Some(studio.address.to_string()), ..VtsConfig::default() };
    open_in(&config, Some(state.to_owned()), [Duration::from_millis(10); 2]).unwrap()
}

fn token_path(studio: &Studio, state: &Path) -> PathBuf {
    state.join(format!("vts-127.0.0.1-{}.token", studio.address.port()))
}

fn value(injection: &Value, id: &str) -> Option<f64> {
    let values = injection["data"]["parameterValues"].as_array().unwrap();
    values.iter().find(|v| v["id"] == id).map(|v| v["value"].as_f64().unwrap())
}

#[test]
fn a_token_is_asked_for_once_and_kept_for_its_owner_alone() {
    let state = tempfile::tempdir().unwrap();
    let studio = studio(User::Allows, "secret");
    let mut first = open_at(&studio, state.path());
    let asked = studio.next(&mut first, "AuthenticationTokenRequest");
    assert_eq!(asked["data"]["pluginName"], "facetrackd");
    studio.next(&mut first, "InjectParameterDataRequest");
    first.close();
    let path = token_path(&studio, state.path());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    while studio.asked.try_recv().is_ok() {}
    let mut second = open_at(&studio, state.path());
    let shown = studio.next(&mut second, "AuthenticationRequest");
    assert_eq!(shown["data"]["authenticationToken"], "secret");
    loop {
        second.send(&subject(), MonoTime::now());
        let Ok(request) = studio.asked.recv_timeout(Duration::from_millis(10)) else { continue };
        assert_ne!(request["messageType"], "AuthenticationTokenRequest", "it was asked for again");
        if request["messageType"] == "InjectParameterDataRequest" {
            break;
        }
    }
}

#[test]
fn a_refused_token_is_forgotten_and_asked_for_anew() {
    let state = tempfile::tempdir().unwrap();
    let studio = studio(User::Allows, "new");
    std::fs::write(token_path(&studio, state.path()), "old").unwrap();
    let mut service = open_at(&studio, state.path());
    assert_eq!(studio.next(&mut service, "AuthenticationRequest")["data"]["authenticationToken"], "old");
    studio.next(&mut service, "AuthenticationTokenRequest");
    assert_eq!(studio.next(&mut service, "AuthenticationRequest")["data"]["authenticationToken"], "new");
    studio.next(&mut service, "InjectParameterDataRequest");
    assert_eq!(std::fs::read_to_string(token_path(&studio, state.path())).unwrap(), "new");
}

#[test]
fn a_user_who_says_no_is_asked_once() {
    let state = tempfile::tempdir().unwrap();
    let studio = studio(User::Denies, "");
    let mut service = open_at(&studio, state.path());
    studio.next(&mut service, "AuthenticationTokenRequest");
    while service.traffic().failed == 0 {
        std::thread::yield_now();
    }
    service.close();
    assert!(studio.asked.try_recv().is_err(), "it was asked again");
    assert!(!token_path(&studio, state.path()).exists());
}

#[test]
fn values_come_in_the_ranges_that_were_named_and_unknown_parameters_do_not() {
    let state = tempfile::tempdir().unwrap();
    let studio = studio(User::Allows, "t");
    let mut service = open_at(&studio, state.path());
    // The first holds a parameter that another plugin has, and is refused.
    let refused = studio.next(&mut service, "InjectParameterDataRequest");
    assert!(value(&refused, "CheekSquintLeft").is_some());
    let injection = studio.next(&mut service, "InjectParameterDataRequest");
    assert_eq!((&injection["data"]["faceFound"], &injection["data"]["mode"]), (&true.into(), &"set".into()));
    let near = |id: &str, want: f64| {
        let got = value(&injection, id).unwrap_or_else(|| panic!("{id} is not set"));
        assert!((got - want).abs() < 1e-3, "{id} is {got}");
    };
    near("FaceAngleX", -14.3239);
    near("FaceAngleY", 14.3239);
    near("FaceAngleZ", 7.162);
    near("EyeOpenLeft", 0.5);
    near("MouthSmile", 0.5);
    near("JawOpen", 0.0);
    near("EyeBlinkLeft", 0.75);
    for absent in ["MousePositionX", "BrowInnerUp", "CheekSquintLeft", "FacePositionX", "MouthOpen"] {
        assert_eq!(value(&injection, absent), None, "{absent}");
    }
}

#[test]
fn left_up_tilt_and_wink_have_their_signs_mirrored_and_not() {
    for (mirror, side) in [(false, 1.0), (true, -1.0)] {
        let state = tempfile::tempdir().unwrap();
        let studio = studio(User::Allows, "t");
        let adjust = Adjust { mirror, ..Adjust::default() };
        let config = VtsConfig { address: Some(studio.address.to_string()), adjust, ..VtsConfig::default() };
        let mut service =
            open_in(&config, Some(state.path().to_owned()), [Duration::from_millis(10); 2]).unwrap();
        let injection = studio.next(&mut service, "InjectParameterDataRequest");
        let said = ["FaceAngleX", "FaceAngleY", "FaceAngleZ", "EyeBlinkLeft", "EyeBlinkRight"];
        let [x, y, z, left, right] = said.map(|id| value(&injection, id).unwrap());
        assert!(x * side < -1.0 && y > 1.0 && z * side > 1.0 && (left - right) * side > 0.5, "{injection}");
    }
}

#[test]
fn a_lost_face_is_told_once_and_a_lost_connection_is_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let studio = studio(User::Allows, "t");
    let mut service = open_at(&studio, state.path());
    studio.next(&mut service, "InjectParameterDataRequest");
    let lost = loop {
        service.send(&FaceSample::default(), MonoTime::now());
        if let Ok(request) = studio.asked.recv_timeout(Duration::from_millis(10))
            && request["data"]["faceFound"] == false
        {
            break request;
        }
    };
    assert!(value(&lost, "FaceAngleX").is_some());
    // The server hangs up after 30 samples; what follows is a new connection.
    studio.next(&mut service, "AuthenticationRequest");
    studio.next(&mut service, "InjectParameterDataRequest");
}

#[test]
fn a_server_that_talks_nonsense_is_left_and_tried_again() {
    for hello in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n", &[0xff; 5000], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = VtsConfig { address: Some(address), ..VtsConfig::default() };
        let mut service = open_in(&config, None, [Duration::from_millis(1); 2]).unwrap();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, hello).unwrap();
        }
        service.close();
        assert!(service.traffic().failed >= 2);
    }
}

#[test]
fn answers_that_make_no_sense_end_the_connection_only() {
    for nonsense in ["{", "[]", "null", r#"{"requestID":"1","messageType":"AuthenticationTokenResponse"}"#] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = VtsConfig { address: Some(address), ..VtsConfig::default() };
        let mut service = open_in(&config, None, [Duration::from_millis(1); 2]).unwrap();
        for _ in 0..2 {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            socket.read().unwrap();
            socket.send(Message::text(nonsense)).unwrap();
            while socket.read().is_ok() {}
        }
        service.close();
    }
}
