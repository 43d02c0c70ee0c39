//! Weights as integers of 8 bits, the way ONNX Runtime's `quantize_dynamic` makes them.

/// How weights are coded.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// uint8 with zero points, or int8 without.
    pub unsigned: bool,
    pub per_channel: bool,
    /// 7 bits.
    pub reduced: bool,
}

/// A matrix of codes: `real = scale · (code - zero)`, one scale and zero per row, or one in all.
pub struct Matrix {
    /// Row by row.
    pub codes: Vec<i64>,
    pub scales: Vec<f32>,
    pub zeros: Vec<i64>,
}

impl Kind {
    /// The same, without zero points that differ: int8, or uint8 around 128.
    pub fn centred(self) -> Kind {
        Kind { unsigned: false, ..self }
    }
    fn range(self) -> (f64, f64) {
        match (self.unsigned, self.reduced) {
            (false, false) => (-127.0, 127.0),
            (false, true) => (-64.0, 64.0),
            (true, false) => (0.0, 255.0),
            (true, true) => (0.0, 127.0),
        }
    }
    /// Codes of `rows` rows of real values: rounded half to even, in f32 as ONNX Runtime has it.
    pub fn quantize(self, values: &[f32], rows: usize) -> Matrix {
        let per = if self.per_channel { values.len() / rows.max(1) } else { values.len() }.max(1);
        let (least, most) = self.range();
        let mut m = Matrix { codes: Vec::with_capacity(values.len()), scales: vec![], zeros: vec![] };
        for row in values.chunks(per) {
            let (low, high) = row.iter().fold((0f64, 0f64), |(l, h), v| (l.min(f64::from(*v)), h.max(f64::from(*v))));
            let (low, high) = if self.unsigned { (low, high) } else { (-high.max(-low), high.max(-low)) };
            let exact = (high - low) / (most - least);
            let (scale, zero) = match exact as f32 {
                s if s < f32::MIN_POSITIVE => (1.0, 0.0),
                s if self.unsigned => (s, (least - low / exact).round_ties_even()),
                s => (s, 0.0),
            };
            m.codes.extend(row.iter().map(|v| (f64::from((v / scale).round_ties_even()) + zero).clamp(least, most) as i64));
            m.scales.push(scale);
            m.zeros.push(zero as i64);
        }
        m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_and_odd_rows() {
        let kind = Kind { unsigned: false, per_channel: false, reduced: false };
        assert_eq!(kind.quantize(&[0.5, 20.0, -0.0001, -0.01, -0.1], 1).codes, [3, 127, 0, 0, -1]);
        let kind = Kind { unsigned: true, ..kind };
        let m = kind.quantize(&[0.5, 20.0, -0.0001, -0.01, -0.1], 1);
        assert_eq!((m.zeros[0], m.codes), (1, vec![7, 255, 1, 1, 0]));
        let kind = Kind { unsigned: false, per_channel: true, reduced: true };
        let m = kind.quantize(&[0.0, 0.0, 1.0, -0.5, f32::MAX, f32::MIN], 3);
        assert_eq!(m.codes, [0, 0, 64, -32, 64, -64]);
        assert_eq!(m.scales[0], 1.0);
    }
}
