use crate::{Name, Tensor, Type};
use bytes::Bytes;
use std::sync::Arc;

/// The value of an operator's attribute. Subgraphs are not attributes here: they are [`crate::Region`]s of the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    Int(i64),
    Float(f32),
    /// ONNX strings are bytes; most are UTF-8.
    Str(Bytes),
    Tensor(Arc<Tensor>),
    Type(Type),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strs(Vec<Bytes>),
    Tensors(Vec<Arc<Tensor>>),
    Types(Vec<Type>),
    /// COO form: values, indices, dense dims.
    Sparse(Arc<Tensor>, Arc<Tensor>, Vec<i64>),
    /// Inside a function body: the value of the function's own attribute of this name, and ONNX's code of the attribute's type.
    Ref(Name, i32),
}

/// The attributes of a node, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attrs(Vec<(Name, Attr)>);

impl Attrs {
    pub fn new() -> Attrs {
        Attrs::default()
    }
    /// For building nodes in one expression: `Attrs::new().with("axis", 1)`.
    pub fn with(mut self, name: &str, value: impl Into<Attr>) -> Attrs {
        self.set(name, value);
        self
    }
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|i| &self.0[i].1)
    }
    pub fn set(&mut self, name: &str, value: impl Into<Attr>) {
        match self.0.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(i) => self.0[i].1 = value.into(),
            Err(i) => self.0.insert(i, (name.into(), value.into())),
        }
    }
    pub fn remove(&mut self, name: &str) -> Option<Attr> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|i| self.0.remove(i).1)
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Attr)> {
        self.0.iter().map(|(n, a)| (n, a))
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// An integer attribute; `None` when absent or of another kind.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Attr::Int(v) => Some(*v),
            _ => None,
        }
    }
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.get(name)? {
            Attr::Float(v) => Some(*v),
            _ => None,
        }
    }
    pub fn str(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Attr::Str(v) => std::str::from_utf8(v).ok(),
            _ => None,
        }
    }
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.get(name)? {
            Attr::Ints(v) => Some(v),
            _ => None,
        }
    }
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.get(name)? {
            Attr::Floats(v) => Some(v),
            _ => None,
        }
    }
    pub fn tensor(&self, name: &str) -> Option<&Arc<Tensor>> {
        match self.get(name)? {
            Attr::Tensor(v) => Some(v),
            _ => None,
        }
    }
}

impl From<i64> for Attr {
    fn from(v: i64) -> Attr {
        Attr::Int(v)
    }
}
impl From<f32> for Attr {
    fn from(v: f32) -> Attr {
        Attr::Float(v)
    }
}
impl From<&str> for Attr {
    fn from(v: &str) -> Attr {
        Attr::Str(Bytes::copy_from_slice(v.as_bytes()))
    }
}
impl From<Vec<i64>> for Attr {
    fn from(v: Vec<i64>) -> Attr {
        Attr::Ints(v)
    }
}
impl From<&[i64]> for Attr {
    fn from(v: &[i64]) -> Attr {
        Attr::Ints(v.to_vec())
    }
}
impl From<Vec<f32>> for Attr {
    fn from(v: Vec<f32>) -> Attr {
        Attr::Floats(v)
    }
}
impl From<Arc<Tensor>> for Attr {
    fn from(v: Arc<Tensor>) -> Attr {
        Attr::Tensor(v)
    }
}
