//! Who asks, and by which door.

/// Who a connection belongs to, as `type:name` (`User:alice`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// `User`, where nothing else is configured.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl Principal {
    /// Kafka's `User:ANONYMOUS`, for a peer that did not authenticate.
    pub fn anonymous() -> Principal {
        Principal { kind: "User".to_owned(), name: "ANONYMOUS".to_owned() }
    }
}

/// The listener that a connection came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: String,
}

impl Listener {
    /// The listener without encryption or authentication.
    pub fn plaintext() -> Listener {
        Listener { name: "PLAINTEXT".to_owned() }
    }

    /// The door inside the process: whoever comes by it is this program's own code.
    pub fn in_process() -> Listener {
        Listener { name: "IN_PROCESS".to_owned() }
    }

    /// Whether it is the door inside the process.
    pub fn is_in_process(&self) -> bool {
        self.name == "IN_PROCESS"
    }
}
