//! Config structs. [`component_config`](crate::component_config) makes, from one declaration, the struct, its strict
//! deserialisation (unknown keys refused, defaults filled, bounds checked) and its schema: one owner for field, doc,
//! default and bounds. Never enters: interpolation of `${…}`, which happened before.

use std::collections::BTreeMap;

use millstream_types::Secret;
use serde::Deserialize;
use serde::de::Deserializer;

use crate::{Bounds, ByteSize, Kind, Period};

/// A value that a setting may hold.
pub trait ConfigValue: for<'de> Deserialize<'de> {
    /// Its kind.
    fn kind() -> Kind;
    /// As it would be written in YAML, on one line.
    fn show(&self) -> String;
    /// What bounds are compared with; `None` where bounds mean nothing.
    fn measure(&self) -> Option<u64>;
}

macro_rules! plain {
    ($($type:ty => $kind:expr, |$value:ident| $measure:expr;)*) => {$(
        impl ConfigValue for $type {
            fn kind() -> Kind { $kind }
            fn show(&self) -> String { self.to_string() }
            fn measure(&self) -> Option<u64> { let $value = self; $measure }
        }
    )*};
}

plain! {
    bool => Kind::Boolean, |_v| None;
    u16 => Kind::Integer, |v| Some(u64::from(*v));
    u32 => Kind::Integer, |v| Some(u64::from(*v));
    u64 => Kind::Integer, |v| Some(*v);
    String => Kind::Text, |v| Some(v.len() as u64);
    ByteSize => Kind::Size, |v| Some(v.0);
    Period => Kind::Duration, |v| Some(v.0);
}

impl<T: ConfigValue> ConfigValue for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
    fn measure(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

impl<T: ConfigValue> ConfigValue for BTreeMap<String, T> {
    fn kind() -> Kind {
        Kind::Map(Box::new(T::kind()))
    }
    fn show(&self) -> String {
        let pairs: Vec<_> = self.iter().map(|(key, value)| format!("{key}: {}", value.show())).collect();
        format!("{{ {} }}", pairs.join(", "))
    }
    fn measure(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), T::show)
    }
    fn measure(&self) -> Option<u64> {
        self.as_ref().and_then(T::measure)
    }
}

/// Text that must not leave the process in clear (SE-1): a password, a token, a DSN that has one.
#[derive(Clone, Debug, Default)]
pub struct SecretText(pub Secret);

impl SecretText {
    /// The text, for the one place that hands it to the other side. Empty when it is not UTF-8, which a setting
    /// cannot be.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
        String::deserialize(deserializer).map(|text| SecretText(Secret::new(text)))
    }
}

impl ConfigValue for SecretText {
    fn kind() -> Kind {
        Kind::Secret
    }
    fn show(&self) -> String {
        "***".to_owned()
    }
    fn measure(&self) -> Option<u64> {
        Some(self.0.expose().len() as u64)
    }
}

/// Refuses a value outside its bounds, naming the setting, the value and the bounds. For the macros.
#[doc(hidden)]
pub fn check_bounds<T: ConfigValue>(name: &str, value: &T, bounds: Option<Bounds>) -> Result<(), String> {
    let (Some(bounds), Some(measure)) = (bounds, value.measure()) else { return Ok(()) };
    if (bounds.min..=bounds.max).contains(&measure) {
        return Ok(());
    }
    let show = |bound: u64| match T::kind() {
        Kind::Size => ByteSize(bound).to_string(),
        Kind::Duration => Period(bound).to_string(),
        Kind::Text | Kind::Secret => format!("{bound} bytes"),
        Kind::List(_) | Kind::Map(_) => format!("{bound} entries"),
        _ => bound.to_string(),
    };
    Err(format!(
        "reading `{name}`: {} is outside its bounds, {} to {}",
        value.show(),
        show(bounds.min),
        show(bounds.max)
    ))
}

/// A field's key in YAML: `r#type` is `type`.
#[doc(hidden)]
pub fn key(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Joins a field's doc lines, which the macro gets one by one.
#[doc(hidden)]
pub fn join_doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Makes a config struct with its deserialisation and schema.
///
/// ```
/// use millstream_connector::{ByteSize, component_config};
/// component_config! {
///     /// Lines of a file.
///     pub struct Lines {
///         /// Which file.
///         path: String [required, bounds = 1..=4096],
///         /// The longest line.
///         max_line: ByteSize [default = ByteSize(1 << 20), bounds = 1..=(1 << 30)],
///         /// A comment.
///         note: Option<String> [default = None],
///     }
/// }
/// assert_eq!(Lines::fields()[1].default.as_deref(), Some("1MiB"));
/// let lines: Lines = serde_json::from_str(r#"{"path":"a","max_line":"2MiB"}"#).unwrap();
/// assert_eq!(lines.max_line, ByteSize(2 << 20));
/// assert!(serde_json::from_str::<Lines>(r#"{"path":"a","max_lines":"2MiB"}"#).is_err());
/// ```
#[macro_export]
macro_rules! component_config {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident: $type:ty [$($rule:tt)*],
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $name {
            /// What the struct does, for the manual.
            pub fn doc() -> String {
                $crate::config::join_doc(&[$($doc),*])
            }

            /// The settings, as data.
            pub fn fields() -> Vec<$crate::FieldSchema> {
                vec![$( $crate::FieldSchema {
                    name: $crate::config::key(stringify!($field)),
                    kind: <$type as $crate::ConfigValue>::kind(),
                    doc: $crate::config::join_doc(&[$($field_doc),*]),
                    default: {
                        let default: Option<$type> = $crate::component_config!(@default $($rule)*);
                        default
                            .map(|value| <$type as $crate::ConfigValue>::show(&value))
                            .filter(|text| text != "null")
                    },
                    required: {
                        let default: Option<$type> = $crate::component_config!(@default $($rule)*);
                        default.is_none()
                    },
                    bounds: $crate::component_config!(@bounds $($rule)*),
                }, )*]
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                use $crate::serde::de::Error as _;
                #[derive($crate::serde::Deserialize)]
                #[serde(crate = "millstream_connector::serde", deny_unknown_fields)]
                struct Raw {
                    $( #[serde(default = "Option::default")] $field: Option<$type>, )*
                }
                let raw = <Raw as $crate::serde::Deserialize>::deserialize(deserializer)?;
                let config = $name {
                    $( $field: match raw.$field {
                        Some(value) => value,
                        None => {
                            let default: Option<$type> = $crate::component_config!(@default $($rule)*);
                            default.ok_or_else(|| D::Error::missing_field($crate::config::key(stringify!($field))))?
                        }
                    }, )*
                };
                $( $crate::config::check_bounds(
                    $crate::config::key(stringify!($field)),
                    &config.$field,
                    $crate::component_config!(@bounds $($rule)*),
                ).map_err(D::Error::custom)?; )*
                Ok(config)
            }
        }

        impl $crate::ConfigValue for $name {
            fn kind() -> $crate::Kind {
                $crate::Kind::Object($name::fields())
            }
            fn show(&self) -> String {
                let mut parts: Vec<String> = Vec::new();
                $( parts.push(format!(
                    "{}: {}",
                    $crate::config::key(stringify!($field)),
                    $crate::ConfigValue::show(&self.$field)
                )); )*
                parts.retain(|part| !part.ends_with(": null"));
                format!("{{ {} }}", parts.join(", "))
            }
            fn measure(&self) -> Option<u64> {
                None
            }
        }
    };
    (@default required $(, bounds = $range:expr)?) => { None };
    (@default default = $value:expr $(, bounds = $range:expr)?) => { Some($value) };
    (@bounds required) => { None };
    (@bounds required, bounds = $range:expr) => {{
        let range: std::ops::RangeInclusive<u64> = $range;
        Some($crate::Bounds { min: *range.start(), max: *range.end() })
    }};
    (@bounds default = $value:expr) => { None };
    (@bounds default = $value:expr, bounds = $range:expr) => {{
        let range: std::ops::RangeInclusive<u64> = $range;
        Some($crate::Bounds { min: *range.start(), max: *range.end() })
    }};
}

/// Makes an enum whose variants are words in YAML.
///
/// ```
/// millstream_connector::config_choice! {
///     /// How a file is compressed.
///     pub enum Codec {
///         /// Not at all.
///         None = "none",
///         /// zstd.
///         Zstd = "zstd",
///     }
/// }
/// assert_eq!(serde_json::from_str::<Codec>("\"zstd\"").unwrap(), Codec::Zstd);
/// assert!(serde_json::from_str::<Codec>("\"lzma\"").unwrap_err().to_string().contains("none, zstd"));
/// ```
#[macro_export]
macro_rules! config_choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident { $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $variant_doc])* $variant, )* }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                use $crate::serde::de::Error as _;
                let text = <String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                match text.as_str() {
                    $( $word => Ok($name::$variant), )*
                    other => Err(D::Error::custom(format_args!(
                        "reading \"{other}\": it is none of {}", [$($word),*].join(", ")
                    ))),
                }
            }
        }

        impl $crate::ConfigValue for $name {
            fn kind() -> $crate::Kind { $crate::Kind::Choice(&[$($word),*]) }
            fn show(&self) -> String {
                match self { $( $name::$variant => $word.to_owned(), )* }
            }
            fn measure(&self) -> Option<u64> { None }
        }
    };
}
