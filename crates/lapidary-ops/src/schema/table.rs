//! Written by tests/scripts/make_schema_table.py from onnx 1.23.2. Do not edit.
#![cfg_attr(rustfmt, rustfmt_skip)]

use super::AttrKind::*;
use super::{AttrSpec, Default, NONE, Param, Schema, Types, attr, bits, one, optional, schema, variadic};
use lapidary_ir::DType::*;

pub const NEWEST_OPSET: u32 = 28;

/// Sorted by domain, name, since-version.
pub static SCHEMAS: [Schema; 659] = [
    schema("", "Abs", 1, false, &P0, &P1, &A0),
    schema("", "Abs", 6, false, &P2, &P3, &[]),
    schema("", "Abs", 13, false, &P4, &P5, &[]),
    schema("", "Acos", 7, false, &P6, &P7, &[]),
    schema("", "Acos", 22, false, &P8, &P9, &[]),
    schema("", "Acosh", 9, false, &P6, &P7, &[]),
    schema("", "Acosh", 22, false, &P8, &P9, &[]),
    schema("", "Add", 1, false, &P10, &P11, &A1),
    schema("", "Add", 6, false, &P12, &P13, &A2),
    schema("", "Add", 7, false, &P12, &P13, &[]),
    schema("", "Add", 13, false, &P14, &P15, &[]),
    schema("", "Add", 14, false, &P16, &P17, &[]),
    schema("", "AffineGrid", 20, false, &P18, &P19, &A3),
    schema("", "And", 1, false, &P20, &P21, &A2),
    schema("", "And", 7, false, &P20, &P21, &[]),
    schema("", "ArgMax", 1, false, &P22, &P23, &A4),
    schema("", "ArgMax", 11, false, &P22, &P23, &A4),
    schema("", "ArgMax", 12, false, &P22, &P23, &A5),
    schema("", "ArgMax", 13, false, &P24, &P23, &A5),
    schema("", "ArgMin", 1, false, &P22, &P23, &A4),
    schema("", "ArgMin", 11, false, &P22, &P23, &A4),
    schema("", "ArgMin", 12, false, &P22, &P23, &A5),
    schema("", "ArgMin", 13, false, &P24, &P23, &A5),
    schema("", "Asin", 7, false, &P6, &P7, &[]),
    schema("", "Asin", 22, false, &P8, &P9, &[]),
    schema("", "Asinh", 9, false, &P6, &P7, &[]),
    schema("", "Asinh", 22, false, &P8, &P9, &[]),
    schema("", "Atan", 7, false, &P6, &P7, &[]),
    schema("", "Atan", 22, false, &P8, &P9, &[]),
    schema("", "Atanh", 9, false, &P6, &P7, &[]),
    schema("", "Atanh", 22, false, &P8, &P9, &[]),
    schema("", "Attention", 23, false, &P25, &P26, &A6),
    schema("", "Attention", 24, false, &P27, &P26, &A6),
    schema("", "Attention", 25, false, &P27, &P26, &A7),
    schema("", "AveragePool", 1, false, &P0, &P1, &A8),
    schema("", "AveragePool", 7, false, &P0, &P1, &A9),
    schema("", "AveragePool", 10, false, &P0, &P1, &A10),
    schema("", "AveragePool", 11, false, &P0, &P1, &A10),
    schema("", "AveragePool", 19, false, &P0, &P1, &A11),
    schema("", "AveragePool", 22, false, &P28, &P29, &A11),
    schema("", "BatchNormalization", 1, false, &P30, &P31, &A12),
    schema("", "BatchNormalization", 6, false, &P30, &P31, &A13),
    schema("", "BatchNormalization", 7, false, &P30, &P31, &A14),
    schema("", "BatchNormalization", 9, false, &P30, &P31, &A15),
    schema("", "BatchNormalization", 14, false, &P32, &P33, &A16),
    schema("", "BatchNormalization", 15, false, &P34, &P35, &A16),
    schema("", "Bernoulli", 15, false, &P36, &P37, &A17),
    schema("", "Bernoulli", 22, false, &P38, &P37, &A17),
    schema("", "BitCast", 26, false, &P39, &P40, &A18),
    schema("", "BitShift", 11, false, &P41, &P42, &A19),
    schema("", "BitShift", 28, false, &P43, &P44, &A19),
    schema("", "BitwiseAnd", 18, false, &P45, &P46, &[]),
    schema("", "BitwiseNot", 18, false, &P47, &P48, &[]),
    schema("", "BitwiseOr", 18, false, &P45, &P46, &[]),
    schema("", "BitwiseXor", 18, false, &P45, &P46, &[]),
    schema("", "BlackmanWindow", 17, false, &P49, &P50, &A20),
    schema("", "Cast", 1, false, &P51, &P52, &A21),
    schema("", "Cast", 6, false, &P51, &P52, &A18),
    schema("", "Cast", 9, false, &P53, &P54, &A18),
    schema("", "Cast", 13, false, &P55, &P56, &A18),
    schema("", "Cast", 19, false, &P57, &P58, &A22),
    schema("", "Cast", 21, false, &P59, &P60, &A22),
    schema("", "Cast", 23, false, &P61, &P62, &A22),
    schema("", "Cast", 24, false, &P63, &P64, &A23),
    schema("", "Cast", 25, false, &P65, &P66, &A23),
    schema("", "Cast", 28, false, &P65, &P66, &A23),
    schema("", "CastLike", 15, false, &P67, &P56, &[]),
    schema("", "CastLike", 19, false, &P68, &P58, &A24),
    schema("", "CastLike", 21, false, &P69, &P60, &A24),
    schema("", "CastLike", 23, false, &P70, &P62, &A24),
    schema("", "CastLike", 24, false, &P71, &P64, &A25),
    schema("", "CastLike", 25, false, &P72, &P66, &A25),
    schema("", "CausalConvWithState", 27, false, &P73, &P74, &A26),
    schema("", "Ceil", 1, false, &P0, &P1, &A0),
    schema("", "Ceil", 6, false, &P0, &P1, &[]),
    schema("", "Ceil", 13, false, &P28, &P29, &[]),
    schema("", "Celu", 12, false, &P75, &P76, &A27),
    schema("", "Celu", 28, false, &P28, &P29, &A27),
    schema("", "CenterCropPad", 18, false, &P77, &P78, &A28),
    schema("", "Clip", 1, false, &P6, &P7, &A29),
    schema("", "Clip", 6, false, &P6, &P7, &A30),
    schema("", "Clip", 11, false, &P79, &P7, &[]),
    schema("", "Clip", 12, false, &P80, &P81, &[]),
    schema("", "Clip", 13, false, &P82, &P83, &[]),
    schema("", "Col2Im", 18, false, &P84, &P85, &A31),
    schema("", "Compress", 9, false, &P86, &P87, &A32),
    schema("", "Compress", 11, false, &P86, &P87, &A32),
    schema("", "Compress", 28, false, &P88, &P85, &A32),
    schema("", "Concat", 1, false, &P89, &P90, &A32),
    schema("", "Concat", 4, false, &P91, &P92, &A33),
    schema("", "Concat", 11, false, &P91, &P92, &A33),
    schema("", "Concat", 13, false, &P93, &P94, &A33),
    schema("", "ConcatFromSequence", 11, false, &P95, &P92, &A34),
    schema("", "Constant", 1, false, &[], &P7, &A35),
    schema("", "Constant", 9, false, &[], &P87, &A35),
    schema("", "Constant", 11, false, &[], &P87, &A36),
    schema("", "Constant", 12, false, &[], &P87, &A37),
    schema("", "Constant", 13, false, &[], &P85, &A37),
    schema("", "Constant", 19, false, &[], &P96, &A37),
    schema("", "Constant", 21, false, &[], &P97, &A37),
    schema("", "Constant", 23, false, &[], &P98, &A37),
    schema("", "Constant", 24, false, &[], &P99, &A37),
    schema("", "Constant", 25, false, &[], &P100, &A37),
    schema("", "ConstantOfShape", 9, false, &P101, &P52, &A38),
    schema("", "ConstantOfShape", 20, false, &P101, &P102, &A38),
    schema("", "ConstantOfShape", 21, false, &P101, &P103, &A38),
    schema("", "ConstantOfShape", 23, false, &P101, &P104, &A38),
    schema("", "ConstantOfShape", 24, false, &P101, &P105, &A38),
    schema("", "ConstantOfShape", 25, false, &P101, &P106, &A38),
    schema("", "Conv", 1, false, &P107, &P1, &A39),
    schema("", "Conv", 11, false, &P107, &P1, &A39),
    schema("", "Conv", 22, false, &P108, &P29, &A39),
    schema("", "ConvInteger", 10, false, &P109, &P110, &A39),
    schema("", "ConvTranspose", 1, false, &P107, &P1, &A40),
    schema("", "ConvTranspose", 11, false, &P107, &P1, &A40),
    schema("", "ConvTranspose", 22, false, &P108, &P29, &A40),
    schema("", "Cos", 7, false, &P6, &P7, &[]),
    schema("", "Cos", 22, false, &P8, &P9, &[]),
    schema("", "Cosh", 9, false, &P6, &P7, &[]),
    schema("", "Cosh", 22, false, &P8, &P9, &[]),
    schema("", "CumProd", 26, false, &P111, &P112, &A41),
    schema("", "CumSum", 11, false, &P113, &P114, &A41),
    schema("", "CumSum", 14, false, &P111, &P112, &A41),
    schema("", "DFT", 17, false, &P115, &P116, &A42),
    schema("", "DFT", 20, false, &P117, &P116, &A43),
    schema("", "DeformConv", 19, false, &P118, &P1, &A44),
    schema("", "DeformConv", 22, false, &P119, &P29, &A44),
    schema("", "DepthToSpace", 1, false, &P120, &P87, &A45),
    schema("", "DepthToSpace", 11, false, &P120, &P87, &A46),
    schema("", "DepthToSpace", 13, false, &P121, &P85, &A46),
    schema("", "DepthToSpace", 28, false, &P121, &P85, &A46),
    schema("", "DequantizeLinear", 10, false, &P122, &P123, &[]),
    schema("", "DequantizeLinear", 13, false, &P122, &P123, &A47),
    schema("", "DequantizeLinear", 19, false, &P124, &P125, &A47),
    schema("", "DequantizeLinear", 21, false, &P126, &P125, &A48),
    schema("", "DequantizeLinear", 23, false, &P127, &P128, &A49),
    schema("", "DequantizeLinear", 24, false, &P129, &P128, &A49),
    schema("", "DequantizeLinear", 25, false, &P130, &P128, &A49),
    schema("", "DequantizeLinear", 28, false, &P130, &P128, &A49),
    schema("", "Det", 11, false, &P0, &P1, &[]),
    schema("", "Det", 22, false, &P28, &P29, &[]),
    schema("", "Div", 1, false, &P10, &P11, &A1),
    schema("", "Div", 6, false, &P12, &P13, &A2),
    schema("", "Div", 7, false, &P12, &P13, &[]),
    schema("", "Div", 13, false, &P14, &P15, &[]),
    schema("", "Div", 14, false, &P16, &P17, &[]),
    schema("", "Dropout", 1, false, &P131, &P132, &A50),
    schema("", "Dropout", 6, false, &P131, &P132, &A51),
    schema("", "Dropout", 7, false, &P131, &P132, &A52),
    schema("", "Dropout", 10, false, &P131, &P133, &A52),
    schema("", "Dropout", 12, false, &P134, &P135, &A53),
    schema("", "Dropout", 13, false, &P136, &P137, &A53),
    schema("", "Dropout", 22, false, &P138, &P139, &A53),
    schema("", "DynamicQuantizeLinear", 11, false, &P140, &P141, &[]),
    schema("", "Einsum", 12, false, &P142, &P143, &A54),
    schema("", "Einsum", 28, false, &P144, &P145, &A54),
    schema("", "Elu", 1, false, &P0, &P1, &A55),
    schema("", "Elu", 6, false, &P0, &P1, &A27),
    schema("", "Elu", 22, false, &P28, &P29, &A27),
    schema("", "Equal", 1, false, &P146, &P21, &A2),
    schema("", "Equal", 7, false, &P146, &P21, &[]),
    schema("", "Equal", 11, false, &P147, &P21, &[]),
    schema("", "Equal", 13, false, &P148, &P21, &[]),
    schema("", "Equal", 19, false, &P149, &P21, &[]),
    schema("", "Erf", 9, false, &P150, &P81, &[]),
    schema("", "Erf", 13, false, &P8, &P9, &[]),
    schema("", "Exp", 1, false, &P6, &P7, &A0),
    schema("", "Exp", 6, false, &P6, &P7, &[]),
    schema("", "Exp", 13, false, &P8, &P9, &[]),
    schema("", "Expand", 8, false, &P151, &P87, &[]),
    schema("", "Expand", 13, false, &P152, &P85, &[]),
    schema("", "EyeLike", 9, false, &P51, &P52, &A56),
    schema("", "EyeLike", 22, false, &P153, &P37, &A56),
    schema("", "Flatten", 1, false, &P6, &P7, &A47),
    schema("", "Flatten", 9, false, &P120, &P87, &A47),
    schema("", "Flatten", 11, false, &P120, &P87, &A47),
    schema("", "Flatten", 13, false, &P121, &P85, &A47),
    schema("", "Flatten", 21, false, &P154, &P97, &A47),
    schema("", "Flatten", 23, false, &P155, &P98, &A47),
    schema("", "Flatten", 24, false, &P156, &P99, &A47),
    schema("", "Flatten", 25, false, &P157, &P100, &A47),
    schema("", "Floor", 1, false, &P0, &P1, &A0),
    schema("", "Floor", 6, false, &P0, &P1, &[]),
    schema("", "Floor", 13, false, &P28, &P29, &[]),
    schema("", "GRU", 1, false, &P158, &P159, &A57),
    schema("", "GRU", 3, false, &P158, &P160, &A58),
    schema("", "GRU", 7, false, &P158, &P160, &A59),
    schema("", "GRU", 14, false, &P158, &P160, &A60),
    schema("", "GRU", 22, false, &P161, &P162, &A60),
    schema("", "Gather", 1, false, &P163, &P87, &A61),
    schema("", "Gather", 11, false, &P163, &P87, &A61),
    schema("", "Gather", 13, false, &P164, &P85, &A61),
    schema("", "GatherElements", 11, false, &P163, &P87, &A61),
    schema("", "GatherElements", 13, false, &P164, &P85, &A61),
    schema("", "GatherND", 11, false, &P165, &P87, &[]),
    schema("", "GatherND", 12, false, &P165, &P87, &A62),
    schema("", "GatherND", 13, false, &P166, &P85, &A62),
    schema("", "Gelu", 20, false, &P28, &P29, &A63),
    schema("", "Gemm", 1, false, &P167, &P1, &A64),
    schema("", "Gemm", 6, false, &P167, &P1, &A64),
    schema("", "Gemm", 7, false, &P167, &P1, &A65),
    schema("", "Gemm", 9, false, &P168, &P169, &A65),
    schema("", "Gemm", 11, false, &P170, &P169, &A65),
    schema("", "Gemm", 13, false, &P171, &P172, &A65),
    schema("", "GlobalAveragePool", 1, false, &P0, &P1, &[]),
    schema("", "GlobalAveragePool", 22, false, &P28, &P29, &[]),
    schema("", "GlobalLpPool", 1, false, &P0, &P1, &A66),
    schema("", "GlobalLpPool", 2, false, &P0, &P1, &A67),
    schema("", "GlobalLpPool", 22, false, &P28, &P29, &A67),
    schema("", "GlobalMaxPool", 1, false, &P0, &P1, &[]),
    schema("", "GlobalMaxPool", 22, false, &P28, &P29, &[]),
    schema("", "Greater", 1, false, &P10, &P21, &A2),
    schema("", "Greater", 7, false, &P10, &P21, &[]),
    schema("", "Greater", 9, false, &P173, &P21, &[]),
    schema("", "Greater", 13, false, &P16, &P21, &[]),
    schema("", "GreaterOrEqual", 12, false, &P173, &P21, &[]),
    schema("", "GreaterOrEqual", 16, false, &P16, &P21, &[]),
    schema("", "GridSample", 16, false, &P174, &P175, &A68),
    schema("", "GridSample", 20, false, &P174, &P175, &A69),
    schema("", "GridSample", 22, false, &P176, &P177, &A69),
    schema("", "GroupNormalization", 18, true, &P178, &P29, &A70),
    schema("", "GroupNormalization", 21, false, &P178, &P29, &A71),
    schema("", "HammingWindow", 17, false, &P49, &P50, &A20),
    schema("", "HannWindow", 17, false, &P49, &P50, &A20),
    schema("", "HardSigmoid", 1, false, &P0, &P1, &A72),
    schema("", "HardSigmoid", 6, false, &P0, &P1, &A73),
    schema("", "HardSigmoid", 22, false, &P28, &P29, &A73),
    schema("", "HardSwish", 14, false, &P0, &P1, &[]),
    schema("", "HardSwish", 22, false, &P28, &P29, &[]),
    schema("", "Hardmax", 1, false, &P6, &P7, &A47),
    schema("", "Hardmax", 11, false, &P6, &P7, &A47),
    schema("", "Hardmax", 13, false, &P8, &P9, &A74),
    schema("", "Identity", 1, false, &P120, &P87, &[]),
    schema("", "Identity", 13, false, &P121, &P85, &[]),
    schema("", "Identity", 14, false, &P179, &P180, &[]),
    schema("", "Identity", 16, false, &P181, &P182, &[]),
    schema("", "Identity", 19, false, &P183, &P184, &[]),
    schema("", "Identity", 21, false, &P185, &P186, &[]),
    schema("", "Identity", 23, false, &P187, &P188, &[]),
    schema("", "Identity", 24, false, &P189, &P190, &[]),
    schema("", "Identity", 25, false, &P191, &P192, &[]),
    schema("", "If", 1, false, &P193, &P194, &A75),
    schema("", "If", 11, false, &P193, &P194, &A75),
    schema("", "If", 13, false, &P193, &P195, &A75),
    schema("", "If", 16, false, &P193, &P196, &A75),
    schema("", "If", 19, false, &P193, &P197, &A75),
    schema("", "If", 21, false, &P193, &P198, &A75),
    schema("", "If", 23, false, &P193, &P199, &A75),
    schema("", "If", 24, false, &P193, &P200, &A75),
    schema("", "If", 25, false, &P193, &P201, &A75),
    schema("", "ImageDecoder", 20, false, &P202, &P203, &A76),
    schema("", "InstanceNormalization", 1, false, &P204, &P7, &A77),
    schema("", "InstanceNormalization", 6, false, &P204, &P7, &A78),
    schema("", "InstanceNormalization", 22, false, &P205, &P9, &A78),
    schema("", "IsInf", 10, false, &P206, &P207, &A79),
    schema("", "IsInf", 20, false, &P208, &P207, &A79),
    schema("", "IsNaN", 9, false, &P209, &P207, &[]),
    schema("", "IsNaN", 13, false, &P210, &P207, &[]),
    schema("", "IsNaN", 20, false, &P208, &P207, &[]),
    schema("", "LRN", 1, false, &P0, &P1, &A80),
    schema("", "LRN", 13, false, &P28, &P29, &A80),
    schema("", "LSTM", 1, false, &P211, &P212, &A81),
    schema("", "LSTM", 7, false, &P211, &P212, &A82),
    schema("", "LSTM", 14, false, &P211, &P212, &A83),
    schema("", "LSTM", 22, false, &P213, &P214, &A83),
    schema("", "LayerNormalization", 17, false, &P215, &P216, &A84),
    schema("", "LeakyRelu", 1, false, &P0, &P1, &A85),
    schema("", "LeakyRelu", 6, false, &P0, &P1, &A86),
    schema("", "LeakyRelu", 16, false, &P28, &P29, &A86),
    schema("", "Less", 1, false, &P10, &P21, &A2),
    schema("", "Less", 7, false, &P10, &P21, &[]),
    schema("", "Less", 9, false, &P173, &P21, &[]),
    schema("", "Less", 13, false, &P16, &P21, &[]),
    schema("", "LessOrEqual", 12, false, &P173, &P21, &[]),
    schema("", "LessOrEqual", 16, false, &P16, &P21, &[]),
    schema("", "LinearAttention", 27, false, &P217, &P218, &A87),
    schema("", "Log", 1, false, &P6, &P7, &A0),
    schema("", "Log", 6, false, &P6, &P7, &[]),
    schema("", "Log", 13, false, &P8, &P9, &[]),
    schema("", "LogSoftmax", 1, false, &P6, &P7, &A47),
    schema("", "LogSoftmax", 11, false, &P6, &P7, &A47),
    schema("", "LogSoftmax", 13, false, &P8, &P9, &A74),
    schema("", "Loop", 1, false, &P219, &P220, &A88),
    schema("", "Loop", 11, false, &P221, &P220, &A88),
    schema("", "Loop", 13, false, &P222, &P223, &A88),
    schema("", "Loop", 16, false, &P224, &P225, &A88),
    schema("", "Loop", 19, false, &P226, &P227, &A88),
    schema("", "Loop", 21, false, &P228, &P229, &A88),
    schema("", "Loop", 23, false, &P230, &P231, &A88),
    schema("", "Loop", 24, false, &P232, &P233, &A88),
    schema("", "Loop", 25, false, &P234, &P235, &A88),
    schema("", "LpNormalization", 1, false, &P6, &P7, &A89),
    schema("", "LpNormalization", 22, false, &P8, &P9, &A89),
    schema("", "LpPool", 1, false, &P0, &P1, &A90),
    schema("", "LpPool", 2, false, &P0, &P1, &A91),
    schema("", "LpPool", 11, false, &P0, &P1, &A91),
    schema("", "LpPool", 18, false, &P0, &P1, &A92),
    schema("", "LpPool", 22, false, &P28, &P29, &A92),
    schema("", "MatMul", 1, false, &P10, &P1, &[]),
    schema("", "MatMul", 9, false, &P12, &P169, &[]),
    schema("", "MatMul", 13, false, &P14, &P172, &[]),
    schema("", "MatMulInteger", 10, false, &P236, &P237, &[]),
    schema("", "Max", 1, false, &P238, &P239, &A0),
    schema("", "Max", 6, false, &P238, &P239, &[]),
    schema("", "Max", 8, false, &P238, &P239, &[]),
    schema("", "Max", 12, false, &P240, &P241, &[]),
    schema("", "Max", 13, false, &P242, &P243, &[]),
    schema("", "MaxPool", 1, false, &P0, &P1, &A8),
    schema("", "MaxPool", 8, false, &P0, &P244, &A93),
    schema("", "MaxPool", 10, false, &P0, &P244, &A94),
    schema("", "MaxPool", 11, false, &P0, &P244, &A94),
    schema("", "MaxPool", 12, false, &P245, &P246, &A94),
    schema("", "MaxPool", 22, false, &P247, &P248, &A94),
    schema("", "MaxRoiPool", 1, false, &P249, &P1, &A95),
    schema("", "MaxRoiPool", 22, false, &P250, &P29, &A95),
    schema("", "MaxUnpool", 9, false, &P251, &P252, &A96),
    schema("", "MaxUnpool", 11, false, &P251, &P252, &A96),
    schema("", "MaxUnpool", 22, false, &P253, &P116, &A96),
    schema("", "Mean", 1, false, &P238, &P254, &A0),
    schema("", "Mean", 6, false, &P238, &P254, &[]),
    schema("", "Mean", 8, false, &P238, &P254, &[]),
    schema("", "Mean", 13, false, &P255, &P256, &[]),
    schema("", "MeanVarianceNormalization", 9, false, &P0, &P1, &A97),
    schema("", "MeanVarianceNormalization", 13, false, &P28, &P29, &A97),
    schema("", "MelWeightMatrix", 17, false, &P257, &P258, &A98),
    schema("", "Min", 1, false, &P238, &P259, &A0),
    schema("", "Min", 6, false, &P238, &P259, &[]),
    schema("", "Min", 8, false, &P238, &P259, &[]),
    schema("", "Min", 12, false, &P240, &P260, &[]),
    schema("", "Min", 13, false, &P242, &P261, &[]),
    schema("", "Mish", 18, false, &P0, &P1, &[]),
    schema("", "Mish", 22, false, &P28, &P29, &[]),
    schema("", "Mod", 10, false, &P173, &P262, &A99),
    schema("", "Mod", 13, false, &P16, &P17, &A99),
    schema("", "Mod", 28, false, &P16, &P17, &A99),
    schema("", "Mul", 1, false, &P10, &P11, &A1),
    schema("", "Mul", 6, false, &P12, &P13, &A2),
    schema("", "Mul", 7, false, &P12, &P13, &[]),
    schema("", "Mul", 13, false, &P14, &P15, &[]),
    schema("", "Mul", 14, false, &P16, &P17, &[]),
    schema("", "Multinomial", 7, false, &P36, &P263, &A100),
    schema("", "Multinomial", 22, false, &P38, &P263, &A100),
    schema("", "Neg", 1, false, &P0, &P1, &A0),
    schema("", "Neg", 6, false, &P264, &P265, &[]),
    schema("", "Neg", 13, false, &P266, &P267, &[]),
    schema("", "NegativeLogLikelihoodLoss", 12, false, &P268, &P269, &A101),
    schema("", "NegativeLogLikelihoodLoss", 13, false, &P268, &P269, &A101),
    schema("", "NegativeLogLikelihoodLoss", 22, false, &P270, &P271, &A101),
    schema("", "NonMaxSuppression", 10, false, &P272, &P273, &A102),
    schema("", "NonMaxSuppression", 11, false, &P272, &P273, &A102),
    schema("", "NonZero", 9, false, &P274, &P275, &[]),
    schema("", "NonZero", 13, false, &P276, &P275, &[]),
    schema("", "Not", 1, false, &P277, &P278, &[]),
    schema("", "OneHot", 9, false, &P279, &P280, &A74),
    schema("", "OneHot", 11, false, &P279, &P280, &A74),
    schema("", "OneHot", 28, false, &P281, &P282, &A74),
    schema("", "Optional", 15, false, &P283, &P284, &A103),
    schema("", "Optional", 28, false, &P285, &P286, &A103),
    schema("", "OptionalGetElement", 15, false, &P287, &P288, &[]),
    schema("", "OptionalGetElement", 18, false, &P289, &P288, &[]),
    schema("", "OptionalGetElement", 28, false, &P290, &P291, &[]),
    schema("", "OptionalHasElement", 15, false, &P287, &P292, &[]),
    schema("", "OptionalHasElement", 18, false, &P293, &P292, &[]),
    schema("", "OptionalHasElement", 28, false, &P294, &P292, &[]),
    schema("", "Or", 1, false, &P20, &P21, &A2),
    schema("", "Or", 7, false, &P20, &P21, &[]),
    schema("", "PRelu", 1, false, &P295, &P1, &A0),
    schema("", "PRelu", 6, false, &P295, &P1, &[]),
    schema("", "PRelu", 7, false, &P295, &P1, &[]),
    schema("", "PRelu", 9, false, &P296, &P169, &[]),
    schema("", "PRelu", 16, false, &P297, &P172, &[]),
    schema("", "Pad", 1, false, &P131, &P7, &A104),
    schema("", "Pad", 2, false, &P131, &P7, &A105),
    schema("", "Pad", 11, false, &P298, &P81, &A106),
    schema("", "Pad", 13, false, &P299, &P85, &A106),
    schema("", "Pad", 18, false, &P300, &P85, &A106),
    schema("", "Pad", 19, false, &P300, &P85, &A106),
    schema("", "Pad", 21, false, &P301, &P97, &A106),
    schema("", "Pad", 23, false, &P302, &P98, &A106),
    schema("", "Pad", 24, false, &P303, &P99, &A106),
    schema("", "Pad", 25, false, &P304, &P100, &A106),
    schema("", "Pow", 1, false, &P305, &P306, &A2),
    schema("", "Pow", 7, false, &P305, &P306, &[]),
    schema("", "Pow", 12, false, &P307, &P308, &[]),
    schema("", "Pow", 13, false, &P309, &P310, &[]),
    schema("", "Pow", 15, false, &P311, &P310, &[]),
    schema("", "QLinearConv", 10, false, &P312, &P313, &A39),
    schema("", "QLinearMatMul", 10, false, &P314, &P313, &[]),
    schema("", "QLinearMatMul", 21, false, &P315, &P316, &[]),
    schema("", "QuantizeLinear", 10, false, &P317, &P318, &[]),
    schema("", "QuantizeLinear", 13, false, &P317, &P318, &A47),
    schema("", "QuantizeLinear", 19, false, &P319, &P320, &A107),
    schema("", "QuantizeLinear", 21, false, &P321, &P322, &A108),
    schema("", "QuantizeLinear", 23, false, &P323, &P324, &A109),
    schema("", "QuantizeLinear", 24, false, &P325, &P324, &A109),
    schema("", "QuantizeLinear", 25, false, &P326, &P327, &A109),
    schema("", "QuantizeLinear", 28, false, &P326, &P327, &A109),
    schema("", "RMSNormalization", 23, false, &P328, &P329, &A84),
    schema("", "RNN", 1, false, &P158, &P160, &A110),
    schema("", "RNN", 7, false, &P158, &P160, &A111),
    schema("", "RNN", 14, false, &P158, &P160, &A112),
    schema("", "RNN", 22, false, &P161, &P162, &A112),
    schema("", "RandomNormal", 1, false, &[], &P7, &A113),
    schema("", "RandomNormal", 22, false, &[], &P9, &A113),
    schema("", "RandomNormalLike", 1, false, &P330, &P331, &A114),
    schema("", "RandomNormalLike", 22, false, &P332, &P333, &A114),
    schema("", "RandomUniform", 1, false, &[], &P7, &A115),
    schema("", "RandomUniform", 22, false, &[], &P9, &A115),
    schema("", "RandomUniformLike", 1, false, &P330, &P331, &A116),
    schema("", "RandomUniformLike", 22, false, &P332, &P333, &A116),
    schema("", "Range", 11, false, &P334, &P335, &[]),
    schema("", "Range", 27, false, &P336, &P337, &A117),
    schema("", "Reciprocal", 1, false, &P0, &P1, &A0),
    schema("", "Reciprocal", 6, false, &P0, &P1, &[]),
    schema("", "Reciprocal", 13, false, &P28, &P29, &[]),
    schema("", "ReduceL1", 1, false, &P338, &P339, &A118),
    schema("", "ReduceL1", 11, false, &P338, &P339, &A118),
    schema("", "ReduceL1", 13, false, &P340, &P341, &A118),
    schema("", "ReduceL1", 18, false, &P342, &P341, &A119),
    schema("", "ReduceL2", 1, false, &P338, &P339, &A118),
    schema("", "ReduceL2", 11, false, &P338, &P339, &A118),
    schema("", "ReduceL2", 13, false, &P340, &P341, &A118),
    schema("", "ReduceL2", 18, false, &P342, &P341, &A119),
    schema("", "ReduceLogSum", 1, false, &P338, &P339, &A118),
    schema("", "ReduceLogSum", 11, false, &P338, &P339, &A118),
    schema("", "ReduceLogSum", 13, false, &P340, &P341, &A118),
    schema("", "ReduceLogSum", 18, false, &P342, &P341, &A119),
    schema("", "ReduceLogSum", 28, false, &P343, &P344, &A119),
    schema("", "ReduceLogSumExp", 1, false, &P338, &P339, &A118),
    schema("", "ReduceLogSumExp", 11, false, &P338, &P339, &A118),
    schema("", "ReduceLogSumExp", 13, false, &P340, &P341, &A118),
    schema("", "ReduceLogSumExp", 18, false, &P342, &P341, &A119),
    schema("", "ReduceLogSumExp", 28, false, &P343, &P344, &A119),
    schema("", "ReduceMax", 1, false, &P338, &P339, &A118),
    schema("", "ReduceMax", 11, false, &P338, &P339, &A118),
    schema("", "ReduceMax", 12, false, &P345, &P346, &A118),
    schema("", "ReduceMax", 13, false, &P347, &P348, &A118),
    schema("", "ReduceMax", 18, false, &P349, &P348, &A119),
    schema("", "ReduceMax", 20, false, &P350, &P351, &A119),
    schema("", "ReduceMean", 1, false, &P338, &P339, &A118),
    schema("", "ReduceMean", 11, false, &P338, &P339, &A118),
    schema("", "ReduceMean", 13, false, &P340, &P341, &A118),
    schema("", "ReduceMean", 18, false, &P342, &P341, &A119),
    schema("", "ReduceMin", 1, false, &P338, &P339, &A118),
    schema("", "ReduceMin", 11, false, &P338, &P339, &A118),
    schema("", "ReduceMin", 12, false, &P345, &P346, &A118),
    schema("", "ReduceMin", 13, false, &P347, &P348, &A118),
    schema("", "ReduceMin", 18, false, &P349, &P348, &A119),
    schema("", "ReduceMin", 20, false, &P350, &P351, &A119),
    schema("", "ReduceProd", 1, false, &P338, &P339, &A118),
    schema("", "ReduceProd", 11, false, &P338, &P339, &A118),
    schema("", "ReduceProd", 13, false, &P340, &P341, &A118),
    schema("", "ReduceProd", 18, false, &P342, &P341, &A119),
    schema("", "ReduceSum", 1, false, &P338, &P339, &A118),
    schema("", "ReduceSum", 11, false, &P338, &P339, &A118),
    schema("", "ReduceSum", 13, false, &P342, &P341, &A119),
    schema("", "ReduceSumSquare", 1, false, &P338, &P339, &A118),
    schema("", "ReduceSumSquare", 11, false, &P338, &P339, &A118),
    schema("", "ReduceSumSquare", 13, false, &P340, &P341, &A118),
    schema("", "ReduceSumSquare", 18, false, &P342, &P341, &A119),
    schema("", "RegexFullMatch", 20, false, &P352, &P207, &A120),
    schema("", "Relu", 1, false, &P0, &P1, &A0),
    schema("", "Relu", 6, false, &P0, &P1, &[]),
    schema("", "Relu", 13, false, &P28, &P29, &[]),
    schema("", "Relu", 14, false, &P266, &P267, &[]),
    schema("", "Reshape", 1, false, &P131, &P353, &A121),
    schema("", "Reshape", 5, false, &P354, &P355, &[]),
    schema("", "Reshape", 13, false, &P356, &P357, &[]),
    schema("", "Reshape", 14, false, &P356, &P357, &A122),
    schema("", "Reshape", 19, false, &P358, &P359, &A122),
    schema("", "Reshape", 21, false, &P360, &P361, &A122),
    schema("", "Reshape", 23, false, &P362, &P363, &A122),
    schema("", "Reshape", 24, false, &P364, &P365, &A122),
    schema("", "Reshape", 25, false, &P366, &P367, &A122),
    schema("", "Resize", 10, false, &P368, &P369, &A123),
    schema("", "Resize", 11, false, &P370, &P175, &A124),
    schema("", "Resize", 13, false, &P371, &P177, &A124),
    schema("", "Resize", 18, false, &P371, &P177, &A125),
    schema("", "Resize", 19, false, &P371, &P177, &A125),
    schema("", "ReverseSequence", 10, false, &P372, &P369, &A126),
    schema("", "ReverseSequence", 28, false, &P373, &P374, &A126),
    schema("", "RoiAlign", 10, false, &P375, &P376, &A127),
    schema("", "RoiAlign", 16, false, &P375, &P376, &A128),
    schema("", "RoiAlign", 22, false, &P377, &P378, &A128),
    schema("", "RotaryEmbedding", 23, false, &P379, &P380, &A129),
    schema("", "Round", 11, false, &P0, &P1, &[]),
    schema("", "Round", 22, false, &P28, &P29, &[]),
    schema("", "STFT", 17, false, &P381, &P116, &A130),
    schema("", "Scan", 8, false, &P382, &P383, &A131),
    schema("", "Scan", 9, false, &P384, &P383, &A132),
    schema("", "Scan", 11, false, &P384, &P383, &A132),
    schema("", "Scan", 16, false, &P385, &P386, &A132),
    schema("", "Scan", 19, false, &P387, &P388, &A132),
    schema("", "Scan", 21, false, &P389, &P390, &A132),
    schema("", "Scan", 23, false, &P391, &P392, &A132),
    schema("", "Scan", 24, false, &P393, &P394, &A132),
    schema("", "Scan", 25, false, &P395, &P396, &A132),
    schema("", "Scatter", 9, false, &P397, &P87, &A61),
    schema("", "Scatter", 11, true, &P397, &P87, &A61),
    schema("", "ScatterElements", 11, false, &P397, &P87, &A61),
    schema("", "ScatterElements", 13, false, &P398, &P85, &A61),
    schema("", "ScatterElements", 16, false, &P398, &P85, &A133),
    schema("", "ScatterElements", 18, false, &P398, &P85, &A133),
    schema("", "ScatterND", 11, false, &P399, &P87, &[]),
    schema("", "ScatterND", 13, false, &P400, &P85, &[]),
    schema("", "ScatterND", 16, false, &P400, &P85, &A134),
    schema("", "ScatterND", 18, false, &P400, &P85, &A134),
    schema("", "Selu", 1, false, &P0, &P1, &A135),
    schema("", "Selu", 6, false, &P0, &P1, &A136),
    schema("", "Selu", 22, false, &P28, &P29, &A136),
    schema("", "SequenceAt", 11, false, &P401, &P402, &[]),
    schema("", "SequenceConstruct", 11, false, &P91, &P403, &[]),
    schema("", "SequenceEmpty", 11, false, &[], &P404, &A137),
    schema("", "SequenceErase", 11, false, &P405, &P403, &[]),
    schema("", "SequenceInsert", 11, false, &P406, &P403, &[]),
    schema("", "SequenceLength", 11, false, &P95, &P407, &[]),
    schema("", "SequenceMap", 17, false, &P408, &P409, &A88),
    schema("", "Shape", 1, false, &P410, &P411, &[]),
    schema("", "Shape", 13, false, &P412, &P411, &[]),
    schema("", "Shape", 15, false, &P412, &P411, &A138),
    schema("", "Shape", 19, false, &P413, &P411, &A138),
    schema("", "Shape", 21, false, &P414, &P411, &A138),
    schema("", "Shape", 23, false, &P415, &P411, &A138),
    schema("", "Shape", 24, false, &P416, &P411, &A138),
    schema("", "Shape", 25, false, &P417, &P411, &A138),
    schema("", "Shrink", 9, false, &P150, &P81, &A139),
    schema("", "Sigmoid", 1, false, &P0, &P1, &A0),
    schema("", "Sigmoid", 6, false, &P0, &P1, &[]),
    schema("", "Sigmoid", 13, false, &P28, &P29, &[]),
    schema("", "Sign", 9, false, &P150, &P81, &[]),
    schema("", "Sign", 13, false, &P418, &P83, &[]),
    schema("", "Sin", 7, false, &P6, &P7, &[]),
    schema("", "Sin", 22, false, &P8, &P9, &[]),
    schema("", "Sinh", 9, false, &P6, &P7, &[]),
    schema("", "Sinh", 22, false, &P8, &P9, &[]),
    schema("", "Size", 1, false, &P410, &P419, &[]),
    schema("", "Size", 13, false, &P412, &P419, &[]),
    schema("", "Size", 19, false, &P413, &P419, &[]),
    schema("", "Size", 21, false, &P414, &P419, &[]),
    schema("", "Size", 23, false, &P415, &P419, &[]),
    schema("", "Size", 24, false, &P416, &P419, &[]),
    schema("", "Size", 25, false, &P417, &P419, &[]),
    schema("", "Slice", 1, false, &P410, &P87, &A140),
    schema("", "Slice", 10, false, &P420, &P87, &[]),
    schema("", "Slice", 11, false, &P420, &P87, &[]),
    schema("", "Slice", 13, false, &P421, &P85, &[]),
    schema("", "Softmax", 1, false, &P6, &P7, &A47),
    schema("", "Softmax", 11, false, &P6, &P7, &A47),
    schema("", "Softmax", 13, false, &P8, &P9, &A74),
    schema("", "SoftmaxCrossEntropyLoss", 12, false, &P422, &P423, &A101),
    schema("", "SoftmaxCrossEntropyLoss", 13, false, &P424, &P425, &A101),
    schema("", "Softplus", 1, false, &P0, &P1, &[]),
    schema("", "Softplus", 22, false, &P28, &P29, &[]),
    schema("", "Softsign", 1, false, &P6, &P7, &[]),
    schema("", "Softsign", 22, false, &P8, &P9, &[]),
    schema("", "SpaceToDepth", 1, false, &P120, &P87, &A45),
    schema("", "SpaceToDepth", 13, false, &P121, &P85, &A45),
    schema("", "SpaceToDepth", 28, false, &P121, &P85, &A46),
    schema("", "Split", 1, false, &P426, &P427, &A141),
    schema("", "Split", 2, false, &P120, &P428, &A142),
    schema("", "Split", 11, false, &P120, &P428, &A142),
    schema("", "Split", 13, false, &P429, &P430, &A61),
    schema("", "Split", 18, false, &P429, &P430, &A143),
    schema("", "SplitToSequence", 11, false, &P431, &P403, &A4),
    schema("", "SplitToSequence", 24, false, &P432, &P433, &A4),
    schema("", "Sqrt", 1, false, &P0, &P1, &A0),
    schema("", "Sqrt", 6, false, &P0, &P1, &[]),
    schema("", "Sqrt", 13, false, &P28, &P29, &[]),
    schema("", "Squeeze", 1, false, &P410, &P434, &A28),
    schema("", "Squeeze", 11, false, &P410, &P434, &A28),
    schema("", "Squeeze", 13, false, &P435, &P436, &[]),
    schema("", "Squeeze", 21, false, &P437, &P438, &[]),
    schema("", "Squeeze", 23, false, &P439, &P440, &[]),
    schema("", "Squeeze", 24, false, &P441, &P442, &[]),
    schema("", "Squeeze", 25, false, &P443, &P444, &[]),
    schema("", "StringConcat", 20, false, &P445, &P446, &[]),
    schema("", "StringNormalizer", 10, false, &P447, &P448, &A144),
    schema("", "StringSplit", 20, false, &P352, &P449, &A145),
    schema("", "Sub", 1, false, &P10, &P11, &A1),
    schema("", "Sub", 6, false, &P12, &P13, &A2),
    schema("", "Sub", 7, false, &P12, &P13, &[]),
    schema("", "Sub", 13, false, &P14, &P15, &[]),
    schema("", "Sub", 14, false, &P16, &P17, &[]),
    schema("", "Sum", 1, false, &P238, &P450, &A0),
    schema("", "Sum", 6, false, &P238, &P450, &[]),
    schema("", "Sum", 8, false, &P238, &P450, &[]),
    schema("", "Sum", 13, false, &P255, &P451, &[]),
    schema("", "SwiGLU", 28, false, &P452, &P29, &A27),
    schema("", "Swish", 24, false, &P28, &P29, &A27),
    schema("", "Tan", 7, false, &P6, &P7, &[]),
    schema("", "Tan", 22, false, &P8, &P9, &[]),
    schema("", "Tanh", 1, false, &P6, &P7, &A0),
    schema("", "Tanh", 6, false, &P6, &P7, &[]),
    schema("", "Tanh", 13, false, &P8, &P9, &[]),
    schema("", "TensorScatter", 24, false, &P453, &P454, &A146),
    schema("", "TfIdfVectorizer", 9, false, &P455, &P456, &A147),
    schema("", "ThresholdedRelu", 10, false, &P0, &P1, &A27),
    schema("", "ThresholdedRelu", 22, false, &P28, &P29, &A27),
    schema("", "Tile", 1, false, &P457, &P7, &[]),
    schema("", "Tile", 6, false, &P458, &P87, &[]),
    schema("", "Tile", 13, false, &P459, &P85, &[]),
    schema("", "TopK", 1, false, &P0, &P460, &A148),
    schema("", "TopK", 10, false, &P461, &P460, &A74),
    schema("", "TopK", 11, false, &P462, &P463, &A149),
    schema("", "TopK", 24, false, &P464, &P465, &A149),
    schema("", "Transpose", 1, false, &P410, &P466, &A150),
    schema("", "Transpose", 13, false, &P412, &P467, &A150),
    schema("", "Transpose", 21, false, &P414, &P468, &A150),
    schema("", "Transpose", 23, false, &P415, &P469, &A150),
    schema("", "Transpose", 24, false, &P416, &P470, &A150),
    schema("", "Transpose", 25, false, &P417, &P471, &A150),
    schema("", "Trilu", 14, false, &P472, &P85, &A151),
    schema("", "Unique", 11, false, &P274, &P473, &A152),
    schema("", "Unique", 28, false, &P276, &P474, &A152),
    schema("", "Unsqueeze", 1, false, &P410, &P475, &A153),
    schema("", "Unsqueeze", 11, false, &P410, &P475, &A153),
    schema("", "Unsqueeze", 13, false, &P476, &P477, &[]),
    schema("", "Unsqueeze", 21, false, &P478, &P479, &[]),
    schema("", "Unsqueeze", 23, false, &P480, &P481, &[]),
    schema("", "Unsqueeze", 24, false, &P482, &P483, &[]),
    schema("", "Unsqueeze", 25, false, &P484, &P485, &[]),
    schema("", "Upsample", 1, false, &P486, &P487, &A154),
    schema("", "Upsample", 7, false, &P274, &P369, &A155),
    schema("", "Upsample", 9, false, &P368, &P369, &A123),
    schema("", "Upsample", 10, true, &P368, &P369, &A123),
    schema("", "Where", 9, false, &P488, &P87, &[]),
    schema("", "Where", 16, false, &P489, &P85, &[]),
    schema("", "Xor", 1, false, &P20, &P21, &A2),
    schema("", "Xor", 7, false, &P20, &P21, &[]),
    schema("ai.onnx.ml", "ArrayFeatureExtractor", 1, false, &P490, &P491, &[]),
    schema("ai.onnx.ml", "Binarizer", 1, false, &P492, &P493, &A156),
    schema("ai.onnx.ml", "CastMap", 1, false, &P494, &P495, &A157),
    schema("ai.onnx.ml", "CategoryMapper", 1, false, &P496, &P497, &A158),
    schema("ai.onnx.ml", "DictVectorizer", 1, false, &P494, &P498, &A159),
    schema("ai.onnx.ml", "FeatureVectorizer", 1, false, &P499, &P500, &A160),
    schema("ai.onnx.ml", "Imputer", 1, false, &P492, &P493, &A161),
    schema("ai.onnx.ml", "LabelEncoder", 1, false, &P496, &P497, &A162),
    schema("ai.onnx.ml", "LabelEncoder", 2, false, &P501, &P495, &A163),
    schema("ai.onnx.ml", "LabelEncoder", 4, false, &P502, &P503, &A164),
    schema("ai.onnx.ml", "LinearClassifier", 1, false, &P504, &P505, &A165),
    schema("ai.onnx.ml", "LinearRegressor", 1, false, &P492, &P500, &A166),
    schema("ai.onnx.ml", "Normalizer", 1, false, &P492, &P500, &A167),
    schema("ai.onnx.ml", "OneHotEncoder", 1, false, &P506, &P500, &A168),
    schema("ai.onnx.ml", "SVMClassifier", 1, false, &P504, &P505, &A169),
    schema("ai.onnx.ml", "SVMRegressor", 1, false, &P492, &P500, &A170),
    schema("ai.onnx.ml", "Scaler", 1, false, &P492, &P500, &A171),
    schema("ai.onnx.ml", "TreeEnsemble", 5, false, &P0, &P1, &A172),
    schema("ai.onnx.ml", "TreeEnsembleClassifier", 1, false, &P504, &P505, &A173),
    schema("ai.onnx.ml", "TreeEnsembleClassifier", 3, false, &P504, &P505, &A174),
    schema("ai.onnx.ml", "TreeEnsembleClassifier", 5, true, &P504, &P505, &A174),
    schema("ai.onnx.ml", "TreeEnsembleRegressor", 1, false, &P492, &P500, &A175),
    schema("ai.onnx.ml", "TreeEnsembleRegressor", 3, false, &P492, &P500, &A176),
    schema("ai.onnx.ml", "TreeEnsembleRegressor", 5, true, &P492, &P500, &A176),
    schema("ai.onnx.ml", "ZipMap", 1, false, &P507, &P508, &A177),
    schema("ai.onnx.preview", "FlexAttention", 1, false, &P509, &P378, &A178),
    schema("ai.onnx.preview.training", "Adagrad", 1, false, &P510, &P511, &A179),
    schema("ai.onnx.preview.training", "Adam", 1, false, &P510, &P511, &A180),
    schema("ai.onnx.preview.training", "Gradient", 1, false, &P512, &P513, &A181),
    schema("ai.onnx.preview.training", "Momentum", 1, false, &P510, &P511, &A182),
];

static T0: Types = Types { tensor: bits(&[F16, F32, F64]), ..NONE };
static T1: Types = Types { tensor: bits(&[U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64]), ..NONE };
static T2: Types = Types { tensor: bits(&[U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64]), ..NONE };
static T3: Types = Types { tensor: bits(&[F16, BF16, F32, F64]), ..NONE };
static T4: Types = Types { tensor: bits(&[U32, I32, U64, I64, F16, F32, F64]), ..NONE };
static T5: Types = Types { tensor: bits(&[U32, I32, U64, I64, F16, BF16, F32, F64]), ..NONE };
static T6: Types = Types { tensor: bits(&[I64]), ..NONE };
static T7: Types = Types { tensor: bits(&[Bool]), ..NONE };
static T8: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64]), ..NONE };
static T9: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128]), ..NONE };
static T10: Types = Types { tensor: bits(&[U8, U16, U32, U64]), ..NONE };
static T11: Types = Types { tensor: bits(&[U8, I8, U16, I16, U32, I32, U64, I64]), ..NONE };
static T12: Types = Types { tensor: bits(&[I32, I64]), ..NONE };
static T13: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64]), ..NONE };
static T14: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, String]), ..NONE };
static T15: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, String]), ..NONE };
static T16: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, String]), ..NONE };
static T17: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, String]), ..NONE };
static T18: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, String]), ..NONE };
static T19: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, String]), ..NONE };
static T20: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, String]), ..NONE };
static T21: Types = Types { tensor: bits(&[F16, BF16, F32]), ..NONE };
static T22: Types = Types { tensor: bits(&[F32]), ..NONE };
static T23: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T24: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T25: Types = Types { sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T26: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T27: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T28: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T29: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T30: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T31: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64]), ..NONE };
static T32: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64]), ..NONE };
static T33: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64]), ..NONE };
static T34: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64]), ..NONE };
static T35: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64]), ..NONE };
static T36: Types = Types { tensor: bits(&[U8, I8]), ..NONE };
static T37: Types = Types { tensor: bits(&[I32]), ..NONE };
static T38: Types = Types { tensor: bits(&[U32, I32, U64, I64, F32, F64]), ..NONE };
static T39: Types = Types { tensor: bits(&[U8, I8, I32]), ..NONE };
static T40: Types = Types { tensor: bits(&[U8, I8, I32, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T41: Types = Types { tensor: bits(&[U4, I4, U8, I8, U16, I16, I32, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T42: Types = Types { tensor: bits(&[U4, I4, U8, I8, U16, I16, I32, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T43: Types = Types { tensor: bits(&[F8E8M0, F16, BF16, F32]), ..NONE };
static T44: Types = Types { tensor: bits(&[U2, I2, U4, I4, U8, I8, U16, I16, I32, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T45: Types = Types { tensor: bits(&[F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64]), ..NONE };
static T46: Types = Types { tensor: bits(&[U8]), ..NONE };
static T47: Types = Types { tensor: bits(&[Bool, I32, I64]), ..NONE };
static T48: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T49: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T50: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T51: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T52: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T53: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T54: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T55: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T56: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T57: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T58: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T59: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T60: Types = Types { tensor: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T61: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T62: Types = Types { tensor: bits(&[F32, F64]), ..NONE };
static T63: Types = Types { tensor: bits(&[BF16, F32]), ..NONE };
static T64: Types = Types { tensor: bits(&[U8, I8, F16, F32, F64]), ..NONE };
static T65: Types = Types { tensor: bits(&[U8, I8, F16, BF16, F32, F64]), ..NONE };
static T66: Types = Types { tensor: bits(&[I8, I16, I32, I64, F16, F32, F64]), ..NONE };
static T67: Types = Types { tensor: bits(&[I8, I16, I32, I64, F16, BF16, F32, F64]), ..NONE };
static T68: Types = Types { optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T69: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T70: Types = Types { optional: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T71: Types = Types { tensor: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, C64, C128, String]), ..NONE };
static T72: Types = Types { tensor: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), sequence: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), optional_sequence: bits(&[Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T73: Types = Types { tensor: bits(&[I32, I64, F16, F32, F64]), ..NONE };
static T74: Types = Types { tensor: bits(&[I32, I64, F16, BF16, F32, F64]), ..NONE };
static T75: Types = Types { tensor: bits(&[U8, I8, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T76: Types = Types { tensor: bits(&[I32, F32]), ..NONE };
static T77: Types = Types { tensor: bits(&[I32, F16, BF16, F32]), ..NONE };
static T78: Types = Types { tensor: bits(&[U4, I4, U8, I8, U16, I16, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T79: Types = Types { tensor: bits(&[U4, I4, U8, I8, U16, I16, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T80: Types = Types { tensor: bits(&[I32, F8E8M0, F16, BF16, F32]), ..NONE };
static T81: Types = Types { tensor: bits(&[U2, I2, U4, I4, U8, I8, U16, I16, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]), ..NONE };
static T82: Types = Types { tensor: bits(&[I16, I32, I64, F32, F64]), ..NONE };
static T83: Types = Types { tensor: bits(&[I16, I32, I64, F16, BF16, F32, F64]), ..NONE };
static T84: Types = Types { tensor: bits(&[U8, I8, U32, I32, U64, I64, F16, F32, F64]), ..NONE };
static T85: Types = Types { tensor: bits(&[U8, I8, U32, I32, U64, I64, F16, BF16, F32, F64]), ..NONE };
static T86: Types = Types { tensor: bits(&[Bool, U8, I8, U32, I32, U64, I64, F16, BF16, F32, F64]), ..NONE };
static T87: Types = Types { tensor: bits(&[String]), ..NONE };
static T88: Types = Types { sequence: bits(&[Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64, C64, C128, String]), ..NONE };
static T89: Types = Types { tensor: bits(&[I32, I64, String]), ..NONE };
static T90: Types = Types { tensor: bits(&[Bool, I32, I64, F16, F32, F64]), ..NONE };
static T91: Types = Types { tensor: bits(&[I32, I64, F32, F64, String]), ..NONE };
static T92: Types = Types { tensor: bits(&[I32, I64, F32, F64]), ..NONE };
static T93: Types = Types { map: true, ..NONE };
static T94: Types = Types { tensor: bits(&[I64, F32, String]), ..NONE };
static T95: Types = Types { tensor: bits(&[I64, String]), ..NONE };
static T96: Types = Types { tensor: bits(&[I64, F32, F64, String]), ..NONE };
static T97: Types = Types { tensor: bits(&[I16, I32, I64, F32, F64, String]), ..NONE };
static T98: Types = Types { map_sequence: true, ..NONE };

static P0: [Param; 1] = [one("X", "T", &T0)];
static P1: [Param; 1] = [one("Y", "T", &T0)];
static P2: [Param; 1] = [one("X", "T", &T1)];
static P3: [Param; 1] = [one("Y", "T", &T1)];
static P4: [Param; 1] = [one("X", "T", &T2)];
static P5: [Param; 1] = [one("Y", "T", &T2)];
static P6: [Param; 1] = [one("input", "T", &T0)];
static P7: [Param; 1] = [one("output", "T", &T0)];
static P8: [Param; 1] = [one("input", "T", &T3)];
static P9: [Param; 1] = [one("output", "T", &T3)];
static P10: [Param; 2] = [one("A", "T", &T0), one("B", "T", &T0)];
static P11: [Param; 1] = [one("C", "T", &T0)];
static P12: [Param; 2] = [one("A", "T", &T4), one("B", "T", &T4)];
static P13: [Param; 1] = [one("C", "T", &T4)];
static P14: [Param; 2] = [one("A", "T", &T5), one("B", "T", &T5)];
static P15: [Param; 1] = [one("C", "T", &T5)];
static P16: [Param; 2] = [one("A", "T", &T2), one("B", "T", &T2)];
static P17: [Param; 1] = [one("C", "T", &T2)];
static P18: [Param; 2] = [one("theta", "T1", &T3), one("size", "T2", &T6)];
static P19: [Param; 1] = [one("grid", "T1", &T3)];
static P20: [Param; 2] = [one("A", "T", &T7), one("B", "T", &T7)];
static P21: [Param; 1] = [one("C", "T1", &T7)];
static P22: [Param; 1] = [one("data", "T", &T1)];
static P23: [Param; 1] = [one("reduced", "tensor(int64)", &T6)];
static P24: [Param; 1] = [one("data", "T", &T2)];
static P25: [Param; 6] = [one("Q", "T1", &T3), one("K", "T1", &T3), one("V", "T2", &T3), optional("attn_mask", "U", &T8), optional("past_key", "T1", &T3), optional("past_value", "T2", &T3)];
static P26: [Param; 4] = [one("Y", "T1", &T3), optional("present_key", "T1", &T3), optional("present_value", "T2", &T3), optional("qk_matmul_output", "T1", &T3)];
static P27: [Param; 7] = [one("Q", "T1", &T3), one("K", "T1", &T3), one("V", "T2", &T3), optional("attn_mask", "U", &T8), optional("past_key", "T1", &T3), optional("past_value", "T2", &T3), optional("nonpad_kv_seqlen", "tensor(int64)", &T6)];
static P28: [Param; 1] = [one("X", "T", &T3)];
static P29: [Param; 1] = [one("Y", "T", &T3)];
static P30: [Param; 5] = [one("X", "T", &T0), one("scale", "T", &T0), one("B", "T", &T0), one("mean", "T", &T0), one("var", "T", &T0)];
static P31: [Param; 5] = [one("Y", "T", &T0), optional("mean", "T", &T0), optional("var", "T", &T0), optional("saved_mean", "T", &T0), optional("saved_var", "T", &T0)];
static P32: [Param; 5] = [one("X", "T", &T3), one("scale", "T", &T3), one("B", "T", &T3), one("input_mean", "U", &T3), one("input_var", "U", &T3)];
static P33: [Param; 3] = [one("Y", "T", &T3), optional("running_mean", "U", &T3), optional("running_var", "U", &T3)];
static P34: [Param; 5] = [one("X", "T", &T3), one("scale", "T1", &T3), one("B", "T1", &T3), one("input_mean", "T2", &T3), one("input_var", "T2", &T3)];
static P35: [Param; 3] = [one("Y", "T", &T3), optional("running_mean", "T2", &T3), optional("running_var", "T2", &T3)];
static P36: [Param; 1] = [one("input", "T1", &T0)];
static P37: [Param; 1] = [one("output", "T2", &T8)];
static P38: [Param; 1] = [one("input", "T1", &T3)];
static P39: [Param; 1] = [one("input", "T1", &T9)];
static P40: [Param; 1] = [one("output", "T2", &T9)];
static P41: [Param; 2] = [one("X", "T", &T10), one("Y", "T", &T10)];
static P42: [Param; 1] = [one("Z", "T", &T10)];
static P43: [Param; 2] = [one("X", "T", &T11), one("Y", "T", &T11)];
static P44: [Param; 1] = [one("Z", "T", &T11)];
static P45: [Param; 2] = [one("A", "T", &T11), one("B", "T", &T11)];
static P46: [Param; 1] = [one("C", "T", &T11)];
static P47: [Param; 1] = [one("X", "T", &T11)];
static P48: [Param; 1] = [one("Y", "T", &T11)];
static P49: [Param; 1] = [one("size", "T1", &T12)];
static P50: [Param; 1] = [one("output", "T2", &T2)];
static P51: [Param; 1] = [one("input", "T1", &T13)];
static P52: [Param; 1] = [one("output", "T2", &T13)];
static P53: [Param; 1] = [one("input", "T1", &T14)];
static P54: [Param; 1] = [one("output", "T2", &T14)];
static P55: [Param; 1] = [one("input", "T1", &T15)];
static P56: [Param; 1] = [one("output", "T2", &T15)];
static P57: [Param; 1] = [one("input", "T1", &T16)];
static P58: [Param; 1] = [one("output", "T2", &T16)];
static P59: [Param; 1] = [one("input", "T1", &T17)];
static P60: [Param; 1] = [one("output", "T2", &T17)];
static P61: [Param; 1] = [one("input", "T1", &T18)];
static P62: [Param; 1] = [one("output", "T2", &T18)];
static P63: [Param; 1] = [one("input", "T1", &T19)];
static P64: [Param; 1] = [one("output", "T2", &T19)];
static P65: [Param; 1] = [one("input", "T1", &T20)];
static P66: [Param; 1] = [one("output", "T2", &T20)];
static P67: [Param; 2] = [one("input", "T1", &T15), one("target_type", "T2", &T15)];
static P68: [Param; 2] = [one("input", "T1", &T16), one("target_type", "T2", &T16)];
static P69: [Param; 2] = [one("input", "T1", &T17), one("target_type", "T2", &T17)];
static P70: [Param; 2] = [one("input", "T1", &T18), one("target_type", "T2", &T18)];
static P71: [Param; 2] = [one("input", "T1", &T19), one("target_type", "T2", &T19)];
static P72: [Param; 2] = [one("input", "T1", &T20), one("target_type", "T2", &T20)];
static P73: [Param; 4] = [one("input", "T", &T21), one("weight", "T", &T21), optional("bias", "T", &T21), optional("past_state", "T", &T21)];
static P74: [Param; 2] = [one("output", "T", &T21), one("present_state", "T", &T21)];
static P75: [Param; 1] = [one("X", "T", &T22)];
static P76: [Param; 1] = [one("Y", "T", &T22)];
static P77: [Param; 2] = [one("input_data", "T", &T23), one("shape", "Tind", &T12)];
static P78: [Param; 1] = [one("output_data", "T", &T23)];
static P79: [Param; 3] = [one("input", "T", &T0), optional("min", "T", &T0), optional("max", "T", &T0)];
static P80: [Param; 3] = [one("input", "T", &T1), optional("min", "T", &T1), optional("max", "T", &T1)];
static P81: [Param; 1] = [one("output", "T", &T1)];
static P82: [Param; 3] = [one("input", "T", &T2), optional("min", "T", &T2), optional("max", "T", &T2)];
static P83: [Param; 1] = [one("output", "T", &T2)];
static P84: [Param; 3] = [one("input", "T", &T23), one("image_shape", "tensor(int64)", &T6), one("block_shape", "tensor(int64)", &T6)];
static P85: [Param; 1] = [one("output", "T", &T23)];
static P86: [Param; 2] = [one("input", "T", &T24), one("condition", "T1", &T7)];
static P87: [Param; 1] = [one("output", "T", &T24)];
static P88: [Param; 2] = [one("input", "T", &T23), one("condition", "T1", &T7)];
static P89: [Param; 1] = [variadic("inputs", "T", &T0, 1, true)];
static P90: [Param; 1] = [one("concat_result", "T", &T0)];
static P91: [Param; 1] = [variadic("inputs", "T", &T24, 1, true)];
static P92: [Param; 1] = [one("concat_result", "T", &T24)];
static P93: [Param; 1] = [variadic("inputs", "T", &T23, 1, true)];
static P94: [Param; 1] = [one("concat_result", "T", &T23)];
static P95: [Param; 1] = [one("input_sequence", "S", &T25)];
static P96: [Param; 1] = [one("output", "T", &T26)];
static P97: [Param; 1] = [one("output", "T", &T27)];
static P98: [Param; 1] = [one("output", "T", &T28)];
static P99: [Param; 1] = [one("output", "T", &T29)];
static P100: [Param; 1] = [one("output", "T", &T30)];
static P101: [Param; 1] = [one("input", "T1", &T6)];
static P102: [Param; 1] = [one("output", "T2", &T31)];
static P103: [Param; 1] = [one("output", "T2", &T32)];
static P104: [Param; 1] = [one("output", "T2", &T33)];
static P105: [Param; 1] = [one("output", "T2", &T34)];
static P106: [Param; 1] = [one("output", "T2", &T35)];
static P107: [Param; 3] = [one("X", "T", &T0), one("W", "T", &T0), optional("B", "T", &T0)];
static P108: [Param; 3] = [one("X", "T", &T3), one("W", "T", &T3), optional("B", "T", &T3)];
static P109: [Param; 4] = [one("x", "T1", &T36), one("w", "T2", &T36), optional("x_zero_point", "T1", &T36), optional("w_zero_point", "T2", &T36)];
static P110: [Param; 1] = [one("y", "T3", &T37)];
static P111: [Param; 2] = [one("x", "T", &T5), one("axis", "T2", &T12)];
static P112: [Param; 1] = [one("y", "T", &T5)];
static P113: [Param; 2] = [one("x", "T", &T38), one("axis", "T2", &T12)];
static P114: [Param; 1] = [one("y", "T", &T38)];
static P115: [Param; 2] = [one("input", "T1", &T3), optional("dft_length", "T2", &T12)];
static P116: [Param; 1] = [one("output", "T1", &T3)];
static P117: [Param; 3] = [one("input", "T1", &T3), optional("dft_length", "T2", &T12), optional("axis", "tensor(int64)", &T6)];
static P118: [Param; 5] = [one("X", "T", &T0), one("W", "T", &T0), one("offset", "T", &T0), optional("B", "T", &T0), optional("mask", "T", &T0)];
static P119: [Param; 5] = [one("X", "T", &T3), one("W", "T", &T3), one("offset", "T", &T3), optional("B", "T", &T3), optional("mask", "T", &T3)];
static P120: [Param; 1] = [one("input", "T", &T24)];
static P121: [Param; 1] = [one("input", "T", &T23)];
static P122: [Param; 3] = [one("x", "T", &T39), one("x_scale", "tensor(float)", &T22), optional("x_zero_point", "T", &T39)];
static P123: [Param; 1] = [one("y", "tensor(float)", &T22)];
static P124: [Param; 3] = [one("x", "T1", &T40), one("x_scale", "T2", &T21), optional("x_zero_point", "T1", &T40)];
static P125: [Param; 1] = [one("y", "T2", &T21)];
static P126: [Param; 3] = [one("x", "T1", &T41), one("x_scale", "T2", &T21), optional("x_zero_point", "T1", &T41)];
static P127: [Param; 3] = [one("x", "T1", &T42), one("x_scale", "T2", &T21), optional("x_zero_point", "T1", &T42)];
static P128: [Param; 1] = [one("y", "T3", &T21)];
static P129: [Param; 3] = [one("x", "T1", &T42), one("x_scale", "T2", &T43), optional("x_zero_point", "T1", &T42)];
static P130: [Param; 3] = [one("x", "T1", &T44), one("x_scale", "T2", &T43), optional("x_zero_point", "T1", &T44)];
static P131: [Param; 1] = [one("data", "T", &T0)];
static P132: [Param; 2] = [one("output", "T", &T0), optional("mask", "T", &T0)];
static P133: [Param; 2] = [one("output", "T", &T0), optional("mask", "T1", &T7)];
static P134: [Param; 3] = [one("data", "T", &T0), optional("ratio", "T1", &T0), optional("training_mode", "T2", &T7)];
static P135: [Param; 2] = [one("output", "T", &T0), optional("mask", "T2", &T7)];
static P136: [Param; 3] = [one("data", "T", &T3), optional("ratio", "T1", &T0), optional("training_mode", "T2", &T7)];
static P137: [Param; 2] = [one("output", "T", &T3), optional("mask", "T2", &T7)];
static P138: [Param; 3] = [one("data", "T", &T45), optional("ratio", "T1", &T45), optional("training_mode", "T2", &T7)];
static P139: [Param; 2] = [one("output", "T", &T45), optional("mask", "T2", &T7)];
static P140: [Param; 1] = [one("x", "T1", &T22)];
static P141: [Param; 3] = [one("y", "T2", &T46), one("y_scale", "tensor(float)", &T22), one("y_zero_point", "T2", &T46)];
static P142: [Param; 1] = [variadic("Inputs", "T", &T1, 1, true)];
static P143: [Param; 1] = [one("Output", "T", &T1)];
static P144: [Param; 1] = [variadic("Inputs", "T", &T2, 1, true)];
static P145: [Param; 1] = [one("Output", "T", &T2)];
static P146: [Param; 2] = [one("A", "T", &T47), one("B", "T", &T47)];
static P147: [Param; 2] = [one("A", "T", &T13), one("B", "T", &T13)];
static P148: [Param; 2] = [one("A", "T", &T8), one("B", "T", &T8)];
static P149: [Param; 2] = [one("A", "T", &T15), one("B", "T", &T15)];
static P150: [Param; 1] = [one("input", "T", &T1)];
static P151: [Param; 2] = [one("input", "T", &T24), one("shape", "tensor(int64)", &T6)];
static P152: [Param; 2] = [one("input", "T", &T23), one("shape", "tensor(int64)", &T6)];
static P153: [Param; 1] = [one("input", "T1", &T8)];
static P154: [Param; 1] = [one("input", "T", &T27)];
static P155: [Param; 1] = [one("input", "T", &T28)];
static P156: [Param; 1] = [one("input", "T", &T29)];
static P157: [Param; 1] = [one("input", "T", &T30)];
static P158: [Param; 6] = [one("X", "T", &T0), one("W", "T", &T0), one("R", "T", &T0), optional("B", "T", &T0), optional("sequence_lens", "T1", &T37), optional("initial_h", "T", &T0)];
static P159: [Param; 2] = [optional("Y", "T", &T0), one("Y_h", "T", &T0)];
static P160: [Param; 2] = [optional("Y", "T", &T0), optional("Y_h", "T", &T0)];
static P161: [Param; 6] = [one("X", "T", &T3), one("W", "T", &T3), one("R", "T", &T3), optional("B", "T", &T3), optional("sequence_lens", "T1", &T37), optional("initial_h", "T", &T3)];
static P162: [Param; 2] = [optional("Y", "T", &T3), optional("Y_h", "T", &T3)];
static P163: [Param; 2] = [one("data", "T", &T24), one("indices", "Tind", &T12)];
static P164: [Param; 2] = [one("data", "T", &T23), one("indices", "Tind", &T12)];
static P165: [Param; 2] = [one("data", "T", &T24), one("indices", "tensor(int64)", &T6)];
static P166: [Param; 2] = [one("data", "T", &T23), one("indices", "tensor(int64)", &T6)];
static P167: [Param; 3] = [one("A", "T", &T0), one("B", "T", &T0), one("C", "T", &T0)];
static P168: [Param; 3] = [one("A", "T", &T4), one("B", "T", &T4), one("C", "T", &T4)];
static P169: [Param; 1] = [one("Y", "T", &T4)];
static P170: [Param; 3] = [one("A", "T", &T4), one("B", "T", &T4), optional("C", "T", &T4)];
static P171: [Param; 3] = [one("A", "T", &T5), one("B", "T", &T5), optional("C", "T", &T5)];
static P172: [Param; 1] = [one("Y", "T", &T5)];
static P173: [Param; 2] = [one("A", "T", &T1), one("B", "T", &T1)];
static P174: [Param; 2] = [one("X", "T1", &T24), one("grid", "T2", &T0)];
static P175: [Param; 1] = [one("Y", "T1", &T24)];
static P176: [Param; 2] = [one("X", "T1", &T23), one("grid", "T2", &T3)];
static P177: [Param; 1] = [one("Y", "T1", &T23)];
static P178: [Param; 3] = [one("X", "T", &T3), one("scale", "T", &T3), one("bias", "T", &T3)];
static P179: [Param; 1] = [one("input", "V", &T48)];
static P180: [Param; 1] = [one("output", "V", &T48)];
static P181: [Param; 1] = [one("input", "V", &T49)];
static P182: [Param; 1] = [one("output", "V", &T49)];
static P183: [Param; 1] = [one("input", "V", &T50)];
static P184: [Param; 1] = [one("output", "V", &T50)];
static P185: [Param; 1] = [one("input", "V", &T51)];
static P186: [Param; 1] = [one("output", "V", &T51)];
static P187: [Param; 1] = [one("input", "V", &T52)];
static P188: [Param; 1] = [one("output", "V", &T52)];
static P189: [Param; 1] = [one("input", "V", &T53)];
static P190: [Param; 1] = [one("output", "V", &T53)];
static P191: [Param; 1] = [one("input", "V", &T54)];
static P192: [Param; 1] = [one("output", "V", &T54)];
static P193: [Param; 1] = [one("cond", "B", &T7)];
static P194: [Param; 1] = [variadic("outputs", "V", &T24, 1, false)];
static P195: [Param; 1] = [variadic("outputs", "V", &T55, 1, false)];
static P196: [Param; 1] = [variadic("outputs", "V", &T56, 1, false)];
static P197: [Param; 1] = [variadic("outputs", "V", &T57, 1, false)];
static P198: [Param; 1] = [variadic("outputs", "V", &T58, 1, false)];
static P199: [Param; 1] = [variadic("outputs", "V", &T59, 1, false)];
static P200: [Param; 1] = [variadic("outputs", "V", &T60, 1, false)];
static P201: [Param; 1] = [variadic("outputs", "V", &T61, 1, false)];
static P202: [Param; 1] = [one("encoded_stream", "T1", &T46)];
static P203: [Param; 1] = [one("image", "T2", &T46)];
static P204: [Param; 3] = [one("input", "T", &T0), one("scale", "T", &T0), one("B", "T", &T0)];
static P205: [Param; 3] = [one("input", "T", &T3), one("scale", "T", &T3), one("B", "T", &T3)];
static P206: [Param; 1] = [one("X", "T1", &T62)];
static P207: [Param; 1] = [one("Y", "T2", &T7)];
static P208: [Param; 1] = [one("X", "T1", &T45)];
static P209: [Param; 1] = [one("X", "T1", &T0)];
static P210: [Param; 1] = [one("X", "T1", &T3)];
static P211: [Param; 8] = [one("X", "T", &T0), one("W", "T", &T0), one("R", "T", &T0), optional("B", "T", &T0), optional("sequence_lens", "T1", &T37), optional("initial_h", "T", &T0), optional("initial_c", "T", &T0), optional("P", "T", &T0)];
static P212: [Param; 3] = [optional("Y", "T", &T0), optional("Y_h", "T", &T0), optional("Y_c", "T", &T0)];
static P213: [Param; 8] = [one("X", "T", &T3), one("W", "T", &T3), one("R", "T", &T3), optional("B", "T", &T3), optional("sequence_lens", "T1", &T37), optional("initial_h", "T", &T3), optional("initial_c", "T", &T3), optional("P", "T", &T3)];
static P214: [Param; 3] = [optional("Y", "T", &T3), optional("Y_h", "T", &T3), optional("Y_c", "T", &T3)];
static P215: [Param; 3] = [one("X", "T", &T3), one("Scale", "T", &T3), optional("B", "T", &T3)];
static P216: [Param; 3] = [one("Y", "T", &T3), optional("Mean", "U", &T63), optional("InvStdDev", "U", &T63)];
static P217: [Param; 6] = [one("query", "T", &T21), one("key", "T", &T21), one("value", "T", &T21), optional("past_state", "S", &T21), optional("decay", "T", &T21), optional("beta", "T", &T21)];
static P218: [Param; 2] = [one("output", "T", &T21), one("present_state", "S", &T21)];
static P219: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T24, 1, false)];
static P220: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T24, 1, false)];
static P221: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T24, 0, false)];
static P222: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T55, 0, false)];
static P223: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T55, 1, false)];
static P224: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T56, 0, false)];
static P225: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T56, 1, false)];
static P226: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T57, 0, false)];
static P227: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T57, 1, false)];
static P228: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T58, 0, false)];
static P229: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T58, 1, false)];
static P230: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T59, 0, false)];
static P231: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T59, 1, false)];
static P232: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T60, 0, false)];
static P233: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T60, 1, false)];
static P234: [Param; 3] = [optional("M", "I", &T6), optional("cond", "B", &T7), variadic("v_initial", "V", &T61, 0, false)];
static P235: [Param; 1] = [variadic("v_final_and_scan_outputs", "V", &T61, 1, false)];
static P236: [Param; 4] = [one("A", "T1", &T36), one("B", "T2", &T36), optional("a_zero_point", "T1", &T36), optional("b_zero_point", "T2", &T36)];
static P237: [Param; 1] = [one("Y", "T3", &T37)];
static P238: [Param; 1] = [variadic("data_0", "T", &T0, 1, true)];
static P239: [Param; 1] = [one("max", "T", &T0)];
static P240: [Param; 1] = [variadic("data_0", "T", &T1, 1, true)];
static P241: [Param; 1] = [one("max", "T", &T1)];
static P242: [Param; 1] = [variadic("data_0", "T", &T2, 1, true)];
static P243: [Param; 1] = [one("max", "T", &T2)];
static P244: [Param; 2] = [one("Y", "T", &T0), optional("Indices", "I", &T6)];
static P245: [Param; 1] = [one("X", "T", &T64)];
static P246: [Param; 2] = [one("Y", "T", &T64), optional("Indices", "I", &T6)];
static P247: [Param; 1] = [one("X", "T", &T65)];
static P248: [Param; 2] = [one("Y", "T", &T65), optional("Indices", "I", &T6)];
static P249: [Param; 2] = [one("X", "T", &T0), one("rois", "T", &T0)];
static P250: [Param; 2] = [one("X", "T", &T3), one("rois", "T", &T3)];
static P251: [Param; 3] = [one("X", "T1", &T0), one("I", "T2", &T6), optional("output_shape", "T2", &T6)];
static P252: [Param; 1] = [one("output", "T1", &T0)];
static P253: [Param; 3] = [one("X", "T1", &T3), one("I", "T2", &T6), optional("output_shape", "T2", &T6)];
static P254: [Param; 1] = [one("mean", "T", &T0)];
static P255: [Param; 1] = [variadic("data_0", "T", &T3, 1, true)];
static P256: [Param; 1] = [one("mean", "T", &T3)];
static P257: [Param; 5] = [one("num_mel_bins", "T1", &T12), one("dft_length", "T1", &T12), one("sample_rate", "T1", &T12), one("lower_edge_hertz", "T2", &T3), one("upper_edge_hertz", "T2", &T3)];
static P258: [Param; 1] = [one("output", "T3", &T2)];
static P259: [Param; 1] = [one("min", "T", &T0)];
static P260: [Param; 1] = [one("min", "T", &T1)];
static P261: [Param; 1] = [one("min", "T", &T2)];
static P262: [Param; 1] = [one("C", "T", &T1)];
static P263: [Param; 1] = [one("output", "T2", &T12)];
static P264: [Param; 1] = [one("X", "T", &T66)];
static P265: [Param; 1] = [one("Y", "T", &T66)];
static P266: [Param; 1] = [one("X", "T", &T67)];
static P267: [Param; 1] = [one("Y", "T", &T67)];
static P268: [Param; 3] = [one("input", "T", &T0), one("target", "Tind", &T12), optional("weight", "T", &T0)];
static P269: [Param; 1] = [one("loss", "T", &T0)];
static P270: [Param; 3] = [one("input", "T", &T3), one("target", "Tind", &T12), optional("weight", "T", &T3)];
static P271: [Param; 1] = [one("loss", "T", &T3)];
static P272: [Param; 5] = [one("boxes", "tensor(float)", &T22), one("scores", "tensor(float)", &T22), optional("max_output_boxes_per_class", "tensor(int64)", &T6), optional("iou_threshold", "tensor(float)", &T22), optional("score_threshold", "tensor(float)", &T22)];
static P273: [Param; 1] = [one("selected_indices", "tensor(int64)", &T6)];
static P274: [Param; 1] = [one("X", "T", &T24)];
static P275: [Param; 1] = [one("Y", "tensor(int64)", &T6)];
static P276: [Param; 1] = [one("X", "T", &T23)];
static P277: [Param; 1] = [one("X", "T", &T7)];
static P278: [Param; 1] = [one("Y", "T", &T7)];
static P279: [Param; 3] = [one("indices", "T1", &T1), one("depth", "T2", &T1), one("values", "T3", &T24)];
static P280: [Param; 1] = [one("output", "T3", &T24)];
static P281: [Param; 3] = [one("indices", "T1", &T1), one("depth", "T2", &T1), one("values", "T3", &T23)];
static P282: [Param; 1] = [one("output", "T3", &T23)];
static P283: [Param; 1] = [optional("input", "V", &T55)];
static P284: [Param; 1] = [one("output", "O", &T68)];
static P285: [Param; 1] = [optional("input", "V", &T69)];
static P286: [Param; 1] = [one("output", "O", &T70)];
static P287: [Param; 1] = [one("input", "O", &T68)];
static P288: [Param; 1] = [one("output", "V", &T55)];
static P289: [Param; 1] = [one("input", "O", &T71)];
static P290: [Param; 1] = [one("input", "O", &T72)];
static P291: [Param; 1] = [one("output", "V", &T69)];
static P292: [Param; 1] = [one("output", "B", &T7)];
static P293: [Param; 1] = [optional("input", "O", &T71)];
static P294: [Param; 1] = [optional("input", "O", &T72)];
static P295: [Param; 2] = [one("X", "T", &T0), one("slope", "T", &T0)];
static P296: [Param; 2] = [one("X", "T", &T4), one("slope", "T", &T4)];
static P297: [Param; 2] = [one("X", "T", &T5), one("slope", "T", &T5)];
static P298: [Param; 3] = [one("data", "T", &T1), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T1)];
static P299: [Param; 3] = [one("data", "T", &T23), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T23)];
static P300: [Param; 4] = [one("data", "T", &T23), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T23), optional("axes", "Tind", &T12)];
static P301: [Param; 4] = [one("data", "T", &T27), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T27), optional("axes", "Tind", &T12)];
static P302: [Param; 4] = [one("data", "T", &T28), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T28), optional("axes", "Tind", &T12)];
static P303: [Param; 4] = [one("data", "T", &T29), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T29), optional("axes", "Tind", &T12)];
static P304: [Param; 4] = [one("data", "T", &T30), one("pads", "tensor(int64)", &T6), optional("constant_value", "T", &T30), optional("axes", "Tind", &T12)];
static P305: [Param; 2] = [one("X", "T", &T0), one("Y", "T", &T0)];
static P306: [Param; 1] = [one("Z", "T", &T0)];
static P307: [Param; 2] = [one("X", "T", &T73), one("Y", "T1", &T1)];
static P308: [Param; 1] = [one("Z", "T", &T73)];
static P309: [Param; 2] = [one("X", "T", &T74), one("Y", "T1", &T1)];
static P310: [Param; 1] = [one("Z", "T", &T74)];
static P311: [Param; 2] = [one("X", "T", &T74), one("Y", "T1", &T2)];
static P312: [Param; 9] = [one("x", "T1", &T36), one("x_scale", "tensor(float)", &T22), one("x_zero_point", "T1", &T36), one("w", "T2", &T36), one("w_scale", "tensor(float)", &T22), one("w_zero_point", "T2", &T36), one("y_scale", "tensor(float)", &T22), one("y_zero_point", "T3", &T36), optional("B", "T4", &T37)];
static P313: [Param; 1] = [one("y", "T3", &T36)];
static P314: [Param; 8] = [one("a", "T1", &T36), one("a_scale", "tensor(float)", &T22), one("a_zero_point", "T1", &T36), one("b", "T2", &T36), one("b_scale", "tensor(float)", &T22), one("b_zero_point", "T2", &T36), one("y_scale", "tensor(float)", &T22), one("y_zero_point", "T3", &T36)];
static P315: [Param; 8] = [one("a", "T1", &T75), one("a_scale", "TS", &T21), one("a_zero_point", "T1", &T75), one("b", "T2", &T75), one("b_scale", "TS", &T21), one("b_zero_point", "T2", &T75), one("y_scale", "TS", &T21), one("y_zero_point", "T3", &T75)];
static P316: [Param; 1] = [one("y", "T3", &T75)];
static P317: [Param; 3] = [one("x", "T1", &T76), one("y_scale", "tensor(float)", &T22), optional("y_zero_point", "T2", &T36)];
static P318: [Param; 1] = [one("y", "T2", &T36)];
static P319: [Param; 3] = [one("x", "T1", &T77), one("y_scale", "T1", &T77), optional("y_zero_point", "T2", &T75)];
static P320: [Param; 1] = [one("y", "T2", &T75)];
static P321: [Param; 3] = [one("x", "T1", &T77), one("y_scale", "T1", &T77), optional("y_zero_point", "T2", &T78)];
static P322: [Param; 1] = [one("y", "T2", &T78)];
static P323: [Param; 3] = [one("x", "T1", &T77), one("y_scale", "T2", &T77), optional("y_zero_point", "T3", &T79)];
static P324: [Param; 1] = [one("y", "T3", &T79)];
static P325: [Param; 3] = [one("x", "T1", &T77), one("y_scale", "T2", &T80), optional("y_zero_point", "T3", &T79)];
static P326: [Param; 3] = [one("x", "T1", &T77), one("y_scale", "T2", &T80), optional("y_zero_point", "T3", &T81)];
static P327: [Param; 1] = [one("y", "T3", &T81)];
static P328: [Param; 2] = [one("X", "T", &T3), one("scale", "V", &T3)];
static P329: [Param; 1] = [one("Y", "V", &T3)];
static P330: [Param; 1] = [one("input", "T1", &T24)];
static P331: [Param; 1] = [one("output", "T2", &T0)];
static P332: [Param; 1] = [one("input", "T1", &T23)];
static P333: [Param; 1] = [one("output", "T2", &T3)];
static P334: [Param; 3] = [one("start", "T", &T82), one("limit", "T", &T82), one("delta", "T", &T82)];
static P335: [Param; 1] = [one("output", "T", &T82)];
static P336: [Param; 3] = [one("start", "T", &T83), one("limit", "T", &T83), one("delta", "T", &T83)];
static P337: [Param; 1] = [one("output", "T", &T83)];
static P338: [Param; 1] = [one("data", "T", &T4)];
static P339: [Param; 1] = [one("reduced", "T", &T4)];
static P340: [Param; 1] = [one("data", "T", &T5)];
static P341: [Param; 1] = [one("reduced", "T", &T5)];
static P342: [Param; 2] = [one("data", "T", &T5), optional("axes", "tensor(int64)", &T6)];
static P343: [Param; 2] = [one("data", "T", &T3), optional("axes", "tensor(int64)", &T6)];
static P344: [Param; 1] = [one("reduced", "T", &T3)];
static P345: [Param; 1] = [one("data", "T", &T84)];
static P346: [Param; 1] = [one("reduced", "T", &T84)];
static P347: [Param; 1] = [one("data", "T", &T85)];
static P348: [Param; 1] = [one("reduced", "T", &T85)];
static P349: [Param; 2] = [one("data", "T", &T85), optional("axes", "tensor(int64)", &T6)];
static P350: [Param; 2] = [one("data", "T", &T86), optional("axes", "tensor(int64)", &T6)];
static P351: [Param; 1] = [one("reduced", "T", &T86)];
static P352: [Param; 1] = [one("X", "T1", &T87)];
static P353: [Param; 1] = [one("reshaped", "T", &T0)];
static P354: [Param; 2] = [one("data", "T", &T24), one("shape", "tensor(int64)", &T6)];
static P355: [Param; 1] = [one("reshaped", "T", &T24)];
static P356: [Param; 2] = [one("data", "T", &T23), one("shape", "tensor(int64)", &T6)];
static P357: [Param; 1] = [one("reshaped", "T", &T23)];
static P358: [Param; 2] = [one("data", "T", &T26), one("shape", "tensor(int64)", &T6)];
static P359: [Param; 1] = [one("reshaped", "T", &T26)];
static P360: [Param; 2] = [one("data", "T", &T27), one("shape", "tensor(int64)", &T6)];
static P361: [Param; 1] = [one("reshaped", "T", &T27)];
static P362: [Param; 2] = [one("data", "T", &T28), one("shape", "tensor(int64)", &T6)];
static P363: [Param; 1] = [one("reshaped", "T", &T28)];
static P364: [Param; 2] = [one("data", "T", &T29), one("shape", "tensor(int64)", &T6)];
static P365: [Param; 1] = [one("reshaped", "T", &T29)];
static P366: [Param; 2] = [one("data", "T", &T30), one("shape", "tensor(int64)", &T6)];
static P367: [Param; 1] = [one("reshaped", "T", &T30)];
static P368: [Param; 2] = [one("X", "T", &T24), one("scales", "tensor(float)", &T22)];
static P369: [Param; 1] = [one("Y", "T", &T24)];
static P370: [Param; 4] = [one("X", "T1", &T24), one("roi", "T2", &T0), one("scales", "tensor(float)", &T22), optional("sizes", "tensor(int64)", &T6)];
static P371: [Param; 4] = [one("X", "T1", &T23), optional("roi", "T2", &T0), optional("scales", "tensor(float)", &T22), optional("sizes", "tensor(int64)", &T6)];
static P372: [Param; 2] = [one("input", "T", &T24), one("sequence_lens", "tensor(int64)", &T6)];
static P373: [Param; 2] = [one("input", "T", &T23), one("sequence_lens", "tensor(int64)", &T6)];
static P374: [Param; 1] = [one("Y", "T", &T23)];
static P375: [Param; 3] = [one("X", "T1", &T0), one("rois", "T1", &T0), one("batch_indices", "T2", &T6)];
static P376: [Param; 1] = [one("Y", "T1", &T0)];
static P377: [Param; 3] = [one("X", "T1", &T3), one("rois", "T1", &T3), one("batch_indices", "T2", &T6)];
static P378: [Param; 1] = [one("Y", "T1", &T3)];
static P379: [Param; 4] = [one("X", "T", &T21), one("cos_cache", "T", &T21), one("sin_cache", "T", &T21), optional("position_ids", "M", &T6)];
static P380: [Param; 1] = [one("Y", "T", &T21)];
static P381: [Param; 4] = [one("signal", "T1", &T3), one("frame_step", "T2", &T12), optional("window", "T1", &T3), optional("frame_length", "T2", &T12)];
static P382: [Param; 2] = [optional("sequence_lens", "I", &T6), variadic("initial_state_and_scan_inputs", "V", &T24, 1, false)];
static P383: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T24, 1, false)];
static P384: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T24, 1, false)];
static P385: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T23, 1, false)];
static P386: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T23, 1, false)];
static P387: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T26, 1, false)];
static P388: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T26, 1, false)];
static P389: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T27, 1, false)];
static P390: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T27, 1, false)];
static P391: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T28, 1, false)];
static P392: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T28, 1, false)];
static P393: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T29, 1, false)];
static P394: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T29, 1, false)];
static P395: [Param; 1] = [variadic("initial_state_and_scan_inputs", "V", &T30, 1, false)];
static P396: [Param; 1] = [variadic("final_state_and_scan_outputs", "V", &T30, 1, false)];
static P397: [Param; 3] = [one("data", "T", &T24), one("indices", "Tind", &T12), one("updates", "T", &T24)];
static P398: [Param; 3] = [one("data", "T", &T23), one("indices", "Tind", &T12), one("updates", "T", &T23)];
static P399: [Param; 3] = [one("data", "T", &T24), one("indices", "tensor(int64)", &T6), one("updates", "T", &T24)];
static P400: [Param; 3] = [one("data", "T", &T23), one("indices", "tensor(int64)", &T6), one("updates", "T", &T23)];
static P401: [Param; 2] = [one("input_sequence", "S", &T25), one("position", "I", &T12)];
static P402: [Param; 1] = [one("tensor", "T", &T24)];
static P403: [Param; 1] = [one("output_sequence", "S", &T25)];
static P404: [Param; 1] = [one("output", "S", &T25)];
static P405: [Param; 2] = [one("input_sequence", "S", &T25), optional("position", "I", &T12)];
static P406: [Param; 3] = [one("input_sequence", "S", &T25), one("tensor", "T", &T24), optional("position", "I", &T12)];
static P407: [Param; 1] = [one("length", "I", &T6)];
static P408: [Param; 2] = [one("input_sequence", "S", &T25), variadic("additional_inputs", "V", &T55, 0, false)];
static P409: [Param; 1] = [variadic("out_sequence", "S", &T25, 1, false)];
static P410: [Param; 1] = [one("data", "T", &T24)];
static P411: [Param; 1] = [one("shape", "T1", &T6)];
static P412: [Param; 1] = [one("data", "T", &T23)];
static P413: [Param; 1] = [one("data", "T", &T26)];
static P414: [Param; 1] = [one("data", "T", &T27)];
static P415: [Param; 1] = [one("data", "T", &T28)];
static P416: [Param; 1] = [one("data", "T", &T29)];
static P417: [Param; 1] = [one("data", "T", &T30)];
static P418: [Param; 1] = [one("input", "T", &T2)];
static P419: [Param; 1] = [one("size", "T1", &T6)];
static P420: [Param; 5] = [one("data", "T", &T24), one("starts", "Tind", &T12), one("ends", "Tind", &T12), optional("axes", "Tind", &T12), optional("steps", "Tind", &T12)];
static P421: [Param; 5] = [one("data", "T", &T23), one("starts", "Tind", &T12), one("ends", "Tind", &T12), optional("axes", "Tind", &T12), optional("steps", "Tind", &T12)];
static P422: [Param; 3] = [one("scores", "T", &T0), one("labels", "Tind", &T12), optional("weights", "T", &T0)];
static P423: [Param; 2] = [one("output", "T", &T0), optional("log_prob", "T", &T0)];
static P424: [Param; 3] = [one("scores", "T", &T3), one("labels", "Tind", &T12), optional("weights", "T", &T3)];
static P425: [Param; 2] = [one("output", "T", &T3), optional("log_prob", "T", &T3)];
static P426: [Param; 2] = [one("input", "T", &T0), optional("split", "T", &T0)];
static P427: [Param; 1] = [variadic("outputs...", "T", &T0, 1, true)];
static P428: [Param; 1] = [variadic("outputs", "T", &T24, 1, true)];
static P429: [Param; 2] = [one("input", "T", &T23), optional("split", "tensor(int64)", &T6)];
static P430: [Param; 1] = [variadic("outputs", "T", &T23, 1, true)];
static P431: [Param; 2] = [one("input", "T", &T24), optional("split", "I", &T12)];
static P432: [Param; 2] = [one("input", "T", &T23), optional("split", "I", &T12)];
static P433: [Param; 1] = [one("output_sequence", "S", &T88)];
static P434: [Param; 1] = [one("squeezed", "T", &T24)];
static P435: [Param; 2] = [one("data", "T", &T23), optional("axes", "tensor(int64)", &T6)];
static P436: [Param; 1] = [one("squeezed", "T", &T23)];
static P437: [Param; 2] = [one("data", "T", &T27), optional("axes", "tensor(int64)", &T6)];
static P438: [Param; 1] = [one("squeezed", "T", &T27)];
static P439: [Param; 2] = [one("data", "T", &T28), optional("axes", "tensor(int64)", &T6)];
static P440: [Param; 1] = [one("squeezed", "T", &T28)];
static P441: [Param; 2] = [one("data", "T", &T29), optional("axes", "tensor(int64)", &T6)];
static P442: [Param; 1] = [one("squeezed", "T", &T29)];
static P443: [Param; 2] = [one("data", "T", &T30), optional("axes", "tensor(int64)", &T6)];
static P444: [Param; 1] = [one("squeezed", "T", &T30)];
static P445: [Param; 2] = [one("X", "T", &T87), one("Y", "T", &T87)];
static P446: [Param; 1] = [one("Z", "T", &T87)];
static P447: [Param; 1] = [one("X", "tensor(string)", &T87)];
static P448: [Param; 1] = [one("Y", "tensor(string)", &T87)];
static P449: [Param; 2] = [one("Y", "T2", &T87), one("Z", "T3", &T6)];
static P450: [Param; 1] = [one("sum", "T", &T0)];
static P451: [Param; 1] = [one("sum", "T", &T3)];
static P452: [Param; 2] = [one("A", "T", &T3), one("B", "T", &T3)];
static P453: [Param; 3] = [one("past_cache", "T", &T29), one("update", "T", &T29), optional("write_indices", "tensor(int64)", &T6)];
static P454: [Param; 1] = [one("present_cache", "T", &T29)];
static P455: [Param; 1] = [one("X", "T", &T89)];
static P456: [Param; 1] = [one("Y", "T1", &T22)];
static P457: [Param; 3] = [one("input", "T", &T0), one("tiles", "T", &T0), one("axis", "T", &T0)];
static P458: [Param; 2] = [one("input", "T", &T24), one("repeats", "T1", &T6)];
static P459: [Param; 2] = [one("input", "T", &T23), one("repeats", "T1", &T6)];
static P460: [Param; 2] = [one("Values", "T", &T0), one("Indices", "I", &T6)];
static P461: [Param; 2] = [one("X", "T", &T0), one("K", "tensor(int64)", &T6)];
static P462: [Param; 2] = [one("X", "T", &T1), one("K", "tensor(int64)", &T6)];
static P463: [Param; 2] = [one("Values", "T", &T1), one("Indices", "I", &T6)];
static P464: [Param; 2] = [one("X", "T", &T2), one("K", "tensor(int64)", &T6)];
static P465: [Param; 2] = [one("Values", "T", &T2), one("Indices", "I", &T6)];
static P466: [Param; 1] = [one("transposed", "T", &T24)];
static P467: [Param; 1] = [one("transposed", "T", &T23)];
static P468: [Param; 1] = [one("transposed", "T", &T27)];
static P469: [Param; 1] = [one("transposed", "T", &T28)];
static P470: [Param; 1] = [one("transposed", "T", &T29)];
static P471: [Param; 1] = [one("transposed", "T", &T30)];
static P472: [Param; 2] = [one("input", "T", &T23), optional("k", "tensor(int64)", &T6)];
static P473: [Param; 4] = [one("Y", "T", &T24), optional("indices", "tensor(int64)", &T6), optional("inverse_indices", "tensor(int64)", &T6), optional("counts", "tensor(int64)", &T6)];
static P474: [Param; 4] = [one("Y", "T", &T23), optional("indices", "tensor(int64)", &T6), optional("inverse_indices", "tensor(int64)", &T6), optional("counts", "tensor(int64)", &T6)];
static P475: [Param; 1] = [one("expanded", "T", &T24)];
static P476: [Param; 2] = [one("data", "T", &T23), one("axes", "tensor(int64)", &T6)];
static P477: [Param; 1] = [one("expanded", "T", &T23)];
static P478: [Param; 2] = [one("data", "T", &T27), one("axes", "tensor(int64)", &T6)];
static P479: [Param; 1] = [one("expanded", "T", &T27)];
static P480: [Param; 2] = [one("data", "T", &T28), one("axes", "tensor(int64)", &T6)];
static P481: [Param; 1] = [one("expanded", "T", &T28)];
static P482: [Param; 2] = [one("data", "T", &T29), one("axes", "tensor(int64)", &T6)];
static P483: [Param; 1] = [one("expanded", "T", &T29)];
static P484: [Param; 2] = [one("data", "T", &T30), one("axes", "tensor(int64)", &T6)];
static P485: [Param; 1] = [one("expanded", "T", &T30)];
static P486: [Param; 1] = [one("X", "T", &T90)];
static P487: [Param; 1] = [one("Y", "T", &T90)];
static P488: [Param; 3] = [one("condition", "B", &T7), one("X", "T", &T24), one("Y", "T", &T24)];
static P489: [Param; 3] = [one("condition", "B", &T7), one("X", "T", &T23), one("Y", "T", &T23)];
static P490: [Param; 2] = [one("X", "T", &T91), one("Y", "tensor(int64)", &T6)];
static P491: [Param; 1] = [one("Z", "T", &T91)];
static P492: [Param; 1] = [one("X", "T", &T92)];
static P493: [Param; 1] = [one("Y", "T", &T92)];
static P494: [Param; 1] = [one("X", "T1", &T93)];
static P495: [Param; 1] = [one("Y", "T2", &T94)];
static P496: [Param; 1] = [one("X", "T1", &T95)];
static P497: [Param; 1] = [one("Y", "T2", &T95)];
static P498: [Param; 1] = [one("Y", "T2", &T96)];
static P499: [Param; 1] = [variadic("X", "T1", &T92, 1, true)];
static P500: [Param; 1] = [one("Y", "tensor(float)", &T22)];
static P501: [Param; 1] = [one("X", "T1", &T94)];
static P502: [Param; 1] = [one("X", "T1", &T97)];
static P503: [Param; 1] = [one("Y", "T2", &T97)];
static P504: [Param; 1] = [one("X", "T1", &T92)];
static P505: [Param; 2] = [one("Y", "T2", &T95), one("Z", "tensor(float)", &T22)];
static P506: [Param; 1] = [one("X", "T", &T91)];
static P507: [Param; 1] = [one("X", "tensor(float)", &T22)];
static P508: [Param; 1] = [one("Z", "T", &T98)];
static P509: [Param; 3] = [one("Q", "T1", &T3), one("K", "T1", &T3), one("V", "T1", &T3)];
static P510: [Param; 3] = [one("R", "T1", &T62), one("T", "T2", &T6), variadic("inputs", "T3", &T62, 1, false)];
static P511: [Param; 1] = [variadic("outputs", "T3", &T62, 1, false)];
static P512: [Param; 1] = [variadic("Inputs", "T1", &T24, 1, false)];
static P513: [Param; 1] = [variadic("Outputs", "T2", &T0, 1, false)];

static A0: [AttrSpec; 1] = [attr("consumed_inputs", Ints, false, Default::None)];
static A1: [AttrSpec; 3] = [attr("axis", Int, false, Default::None), attr("broadcast", Int, false, Default::Int(0)), attr("consumed_inputs", Ints, false, Default::None)];
static A2: [AttrSpec; 2] = [attr("axis", Int, false, Default::None), attr("broadcast", Int, false, Default::Int(0))];
static A3: [AttrSpec; 1] = [attr("align_corners", Int, false, Default::Int(0))];
static A4: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(0)), attr("keepdims", Int, false, Default::Int(1))];
static A5: [AttrSpec; 3] = [attr("axis", Int, false, Default::Int(0)), attr("keepdims", Int, false, Default::Int(1)), attr("select_last_index", Int, false, Default::Int(0))];
static A6: [AttrSpec; 7] = [attr("is_causal", Int, false, Default::Int(0)), attr("kv_num_heads", Int, false, Default::None), attr("q_num_heads", Int, false, Default::None), attr("qk_matmul_output_mode", Int, false, Default::Int(0)), attr("scale", Float, false, Default::None), attr("softcap", Float, false, Default::Float(0.0)), attr("softmax_precision", Int, false, Default::None)];
static A7: [AttrSpec; 9] = [attr("is_causal", Int, false, Default::Int(0)), attr("kv_num_heads", Int, false, Default::None), attr("left_window_size", Int, false, Default::Int(-1)), attr("q_num_heads", Int, false, Default::None), attr("qk_matmul_output_mode", Int, false, Default::Int(0)), attr("right_window_size", Int, false, Default::Int(-1)), attr("scale", Float, false, Default::None), attr("softcap", Float, false, Default::Float(0.0)), attr("softmax_precision", Int, false, Default::None)];
static A8: [AttrSpec; 4] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A9: [AttrSpec; 5] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("count_include_pad", Int, false, Default::Int(0)), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A10: [AttrSpec; 6] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("ceil_mode", Int, false, Default::Int(0)), attr("count_include_pad", Int, false, Default::Int(0)), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A11: [AttrSpec; 7] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("ceil_mode", Int, false, Default::Int(0)), attr("count_include_pad", Int, false, Default::Int(0)), attr("dilations", Ints, false, Default::None), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A12: [AttrSpec; 5] = [attr("consumed_inputs", Ints, true, Default::None), attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("is_test", Int, false, Default::Int(0)), attr("momentum", Float, false, Default::Float(0.899999976)), attr("spatial", Int, false, Default::Int(1))];
static A13: [AttrSpec; 4] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("is_test", Int, false, Default::Int(0)), attr("momentum", Float, false, Default::Float(0.899999976)), attr("spatial", Int, false, Default::Int(1))];
static A14: [AttrSpec; 3] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("momentum", Float, false, Default::Float(0.899999976)), attr("spatial", Int, false, Default::Int(1))];
static A15: [AttrSpec; 2] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("momentum", Float, false, Default::Float(0.899999976))];
static A16: [AttrSpec; 3] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("momentum", Float, false, Default::Float(0.899999976)), attr("training_mode", Int, false, Default::Int(0))];
static A17: [AttrSpec; 2] = [attr("dtype", Int, false, Default::None), attr("seed", Float, false, Default::None)];
static A18: [AttrSpec; 1] = [attr("to", Int, true, Default::None)];
static A19: [AttrSpec; 1] = [attr("direction", Str, true, Default::None)];
static A20: [AttrSpec; 2] = [attr("output_datatype", Int, false, Default::Int(1)), attr("periodic", Int, false, Default::Int(1))];
static A21: [AttrSpec; 1] = [attr("to", Str, true, Default::None)];
static A22: [AttrSpec; 2] = [attr("saturate", Int, false, Default::Int(1)), attr("to", Int, true, Default::None)];
static A23: [AttrSpec; 3] = [attr("round_mode", Str, false, Default::Str("up")), attr("saturate", Int, false, Default::Int(1)), attr("to", Int, true, Default::None)];
static A24: [AttrSpec; 1] = [attr("saturate", Int, false, Default::Int(1))];
static A25: [AttrSpec; 2] = [attr("round_mode", Str, false, Default::Str("up")), attr("saturate", Int, false, Default::Int(1))];
static A26: [AttrSpec; 1] = [attr("activation", Str, false, Default::Str("none"))];
static A27: [AttrSpec; 1] = [attr("alpha", Float, false, Default::Float(1.0))];
static A28: [AttrSpec; 1] = [attr("axes", Ints, false, Default::None)];
static A29: [AttrSpec; 3] = [attr("consumed_inputs", Ints, false, Default::None), attr("max", Float, false, Default::None), attr("min", Float, false, Default::None)];
static A30: [AttrSpec; 2] = [attr("max", Float, false, Default::Float(3.40282347e+38)), attr("min", Float, false, Default::Float(-3.40282347e+38))];
static A31: [AttrSpec; 3] = [attr("dilations", Ints, false, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A32: [AttrSpec; 1] = [attr("axis", Int, false, Default::None)];
static A33: [AttrSpec; 1] = [attr("axis", Int, true, Default::None)];
static A34: [AttrSpec; 2] = [attr("axis", Int, true, Default::None), attr("new_axis", Int, false, Default::Int(0))];
static A35: [AttrSpec; 1] = [attr("value", Tensor, true, Default::None)];
static A36: [AttrSpec; 2] = [attr("sparse_value", Sparse, false, Default::None), attr("value", Tensor, false, Default::None)];
static A37: [AttrSpec; 8] = [attr("sparse_value", Sparse, false, Default::None), attr("value", Tensor, false, Default::None), attr("value_float", Float, false, Default::None), attr("value_floats", Floats, false, Default::None), attr("value_int", Int, false, Default::None), attr("value_ints", Ints, false, Default::None), attr("value_string", Str, false, Default::None), attr("value_strings", Strs, false, Default::None)];
static A38: [AttrSpec; 1] = [attr("value", Tensor, false, Default::None)];
static A39: [AttrSpec; 6] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("dilations", Ints, false, Default::None), attr("group", Int, false, Default::Int(1)), attr("kernel_shape", Ints, false, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A40: [AttrSpec; 8] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("dilations", Ints, false, Default::None), attr("group", Int, false, Default::Int(1)), attr("kernel_shape", Ints, false, Default::None), attr("output_padding", Ints, false, Default::None), attr("output_shape", Ints, false, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A41: [AttrSpec; 2] = [attr("exclusive", Int, false, Default::Int(0)), attr("reverse", Int, false, Default::Int(0))];
static A42: [AttrSpec; 3] = [attr("axis", Int, false, Default::Int(1)), attr("inverse", Int, false, Default::Int(0)), attr("onesided", Int, false, Default::Int(0))];
static A43: [AttrSpec; 2] = [attr("inverse", Int, false, Default::Int(0)), attr("onesided", Int, false, Default::Int(0))];
static A44: [AttrSpec; 6] = [attr("dilations", Ints, false, Default::None), attr("group", Int, false, Default::Int(1)), attr("kernel_shape", Ints, false, Default::None), attr("offset_group", Int, false, Default::Int(1)), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A45: [AttrSpec; 1] = [attr("blocksize", Int, true, Default::None)];
static A46: [AttrSpec; 2] = [attr("blocksize", Int, true, Default::None), attr("mode", Str, false, Default::Str("DCR"))];
static A47: [AttrSpec; 1] = [attr("axis", Int, false, Default::Int(1))];
static A48: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(1)), attr("block_size", Int, false, Default::Int(0))];
static A49: [AttrSpec; 3] = [attr("axis", Int, false, Default::Int(1)), attr("block_size", Int, false, Default::Int(0)), attr("output_dtype", Int, false, Default::Int(0))];
static A50: [AttrSpec; 3] = [attr("consumed_inputs", Ints, false, Default::None), attr("is_test", Int, false, Default::Int(0)), attr("ratio", Float, false, Default::Float(0.5))];
static A51: [AttrSpec; 2] = [attr("is_test", Int, false, Default::Int(0)), attr("ratio", Float, false, Default::Float(0.5))];
static A52: [AttrSpec; 1] = [attr("ratio", Float, false, Default::Float(0.5))];
static A53: [AttrSpec; 1] = [attr("seed", Int, false, Default::None)];
static A54: [AttrSpec; 1] = [attr("equation", Str, true, Default::None)];
static A55: [AttrSpec; 2] = [attr("alpha", Float, false, Default::Float(1.0)), attr("consumed_inputs", Ints, false, Default::None)];
static A56: [AttrSpec; 2] = [attr("dtype", Int, false, Default::None), attr("k", Int, false, Default::Int(0))];
static A57: [AttrSpec; 7] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("foward")), attr("hidden_size", Int, false, Default::None), attr("output_sequence", Int, false, Default::Int(0))];
static A58: [AttrSpec; 8] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("linear_before_reset", Int, false, Default::Int(0)), attr("output_sequence", Int, false, Default::Int(0))];
static A59: [AttrSpec; 7] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("linear_before_reset", Int, false, Default::Int(0))];
static A60: [AttrSpec; 8] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("layout", Int, false, Default::Int(0)), attr("linear_before_reset", Int, false, Default::Int(0))];
static A61: [AttrSpec; 1] = [attr("axis", Int, false, Default::Int(0))];
static A62: [AttrSpec; 1] = [attr("batch_dims", Int, false, Default::Int(0))];
static A63: [AttrSpec; 1] = [attr("approximate", Str, false, Default::Str("none"))];
static A64: [AttrSpec; 5] = [attr("alpha", Float, false, Default::Float(1.0)), attr("beta", Float, false, Default::Float(1.0)), attr("broadcast", Int, false, Default::Int(0)), attr("transA", Int, false, Default::Int(0)), attr("transB", Int, false, Default::Int(0))];
static A65: [AttrSpec; 4] = [attr("alpha", Float, false, Default::Float(1.0)), attr("beta", Float, false, Default::Float(1.0)), attr("transA", Int, false, Default::Int(0)), attr("transB", Int, false, Default::Int(0))];
static A66: [AttrSpec; 1] = [attr("p", Float, false, Default::Float(2.0))];
static A67: [AttrSpec; 1] = [attr("p", Int, false, Default::Int(2))];
static A68: [AttrSpec; 3] = [attr("align_corners", Int, false, Default::Int(0)), attr("mode", Str, false, Default::Str("bilinear")), attr("padding_mode", Str, false, Default::Str("zeros"))];
static A69: [AttrSpec; 3] = [attr("align_corners", Int, false, Default::Int(0)), attr("mode", Str, false, Default::Str("linear")), attr("padding_mode", Str, false, Default::Str("zeros"))];
static A70: [AttrSpec; 2] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("num_groups", Int, true, Default::None)];
static A71: [AttrSpec; 3] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("num_groups", Int, true, Default::None), attr("stash_type", Int, false, Default::Int(1))];
static A72: [AttrSpec; 3] = [attr("alpha", Float, false, Default::Float(0.200000003)), attr("beta", Float, false, Default::Float(0.5)), attr("consumed_inputs", Ints, false, Default::None)];
static A73: [AttrSpec; 2] = [attr("alpha", Float, false, Default::Float(0.200000003)), attr("beta", Float, false, Default::Float(0.5))];
static A74: [AttrSpec; 1] = [attr("axis", Int, false, Default::Int(-1))];
static A75: [AttrSpec; 2] = [attr("else_branch", Graph, true, Default::None), attr("then_branch", Graph, true, Default::None)];
static A76: [AttrSpec; 1] = [attr("pixel_format", Str, false, Default::Str("RGB"))];
static A77: [AttrSpec; 2] = [attr("consumed_inputs", Ints, false, Default::None), attr("epsilon", Float, false, Default::Float(9.99999975e-06))];
static A78: [AttrSpec; 1] = [attr("epsilon", Float, false, Default::Float(9.99999975e-06))];
static A79: [AttrSpec; 2] = [attr("detect_negative", Int, false, Default::Int(1)), attr("detect_positive", Int, false, Default::Int(1))];
static A80: [AttrSpec; 4] = [attr("alpha", Float, false, Default::Float(9.99999975e-05)), attr("beta", Float, false, Default::Float(0.75)), attr("bias", Float, false, Default::Float(1.0)), attr("size", Int, true, Default::None)];
static A81: [AttrSpec; 8] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("input_forget", Int, false, Default::Int(0)), attr("output_sequence", Int, false, Default::Int(0))];
static A82: [AttrSpec; 7] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("input_forget", Int, false, Default::Int(0))];
static A83: [AttrSpec; 8] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::None), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("input_forget", Int, false, Default::Int(0)), attr("layout", Int, false, Default::Int(0))];
static A84: [AttrSpec; 3] = [attr("axis", Int, false, Default::Int(-1)), attr("epsilon", Float, false, Default::Float(9.99999975e-06)), attr("stash_type", Int, false, Default::Int(1))];
static A85: [AttrSpec; 2] = [attr("alpha", Float, false, Default::Float(0.00999999978)), attr("consumed_inputs", Ints, false, Default::None)];
static A86: [AttrSpec; 1] = [attr("alpha", Float, false, Default::Float(0.00999999978))];
static A87: [AttrSpec; 5] = [attr("chunk_size", Int, false, Default::Int(64)), attr("kv_num_heads", Int, true, Default::None), attr("q_num_heads", Int, true, Default::None), attr("scale", Float, false, Default::Float(0.0)), attr("update_rule", Str, false, Default::Str("gated_delta"))];
static A88: [AttrSpec; 1] = [attr("body", Graph, true, Default::None)];
static A89: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(-1)), attr("p", Int, false, Default::Int(2))];
static A90: [AttrSpec; 5] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("kernel_shape", Ints, false, Default::None), attr("p", Float, false, Default::Float(2.0)), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A91: [AttrSpec; 5] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("kernel_shape", Ints, true, Default::None), attr("p", Int, false, Default::Int(2)), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A92: [AttrSpec; 7] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("ceil_mode", Int, false, Default::Int(0)), attr("dilations", Ints, false, Default::None), attr("kernel_shape", Ints, true, Default::None), attr("p", Int, false, Default::Int(2)), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A93: [AttrSpec; 5] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("storage_order", Int, false, Default::Int(0)), attr("strides", Ints, false, Default::None)];
static A94: [AttrSpec; 7] = [attr("auto_pad", Str, false, Default::Str("NOTSET")), attr("ceil_mode", Int, false, Default::Int(0)), attr("dilations", Ints, false, Default::None), attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("storage_order", Int, false, Default::Int(0)), attr("strides", Ints, false, Default::None)];
static A95: [AttrSpec; 2] = [attr("pooled_shape", Ints, true, Default::None), attr("spatial_scale", Float, false, Default::Float(1.0))];
static A96: [AttrSpec; 3] = [attr("kernel_shape", Ints, true, Default::None), attr("pads", Ints, false, Default::None), attr("strides", Ints, false, Default::None)];
static A97: [AttrSpec; 1] = [attr("axes", Ints, false, Default::Ints(&[0, 2, 3]))];
static A98: [AttrSpec; 1] = [attr("output_datatype", Int, false, Default::Int(1))];
static A99: [AttrSpec; 1] = [attr("fmod", Int, false, Default::Int(0))];
static A100: [AttrSpec; 3] = [attr("dtype", Int, false, Default::Int(6)), attr("sample_size", Int, false, Default::Int(1)), attr("seed", Float, false, Default::None)];
static A101: [AttrSpec; 2] = [attr("ignore_index", Int, false, Default::None), attr("reduction", Str, false, Default::Str("mean"))];
static A102: [AttrSpec; 1] = [attr("center_point_box", Int, false, Default::Int(0))];
static A103: [AttrSpec; 1] = [attr("type", Type, false, Default::None)];
static A104: [AttrSpec; 3] = [attr("mode", Str, false, Default::Str("constant")), attr("paddings", Ints, true, Default::None), attr("value", Float, false, Default::Float(0.0))];
static A105: [AttrSpec; 3] = [attr("mode", Str, false, Default::Str("constant")), attr("pads", Ints, true, Default::None), attr("value", Float, false, Default::Float(0.0))];
static A106: [AttrSpec; 1] = [attr("mode", Str, false, Default::Str("constant"))];
static A107: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(1)), attr("saturate", Int, false, Default::Int(1))];
static A108: [AttrSpec; 4] = [attr("axis", Int, false, Default::Int(1)), attr("block_size", Int, false, Default::Int(0)), attr("output_dtype", Int, false, Default::Int(0)), attr("saturate", Int, false, Default::Int(1))];
static A109: [AttrSpec; 5] = [attr("axis", Int, false, Default::Int(1)), attr("block_size", Int, false, Default::Int(0)), attr("output_dtype", Int, false, Default::Int(0)), attr("precision", Int, false, Default::Int(0)), attr("saturate", Int, false, Default::Int(1))];
static A110: [AttrSpec; 7] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::Strs(&["Tanh", "Tanh"])), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("output_sequence", Int, false, Default::Int(0))];
static A111: [AttrSpec; 6] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::Strs(&["Tanh", "Tanh"])), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None)];
static A112: [AttrSpec; 7] = [attr("activation_alpha", Floats, false, Default::None), attr("activation_beta", Floats, false, Default::None), attr("activations", Strs, false, Default::Strs(&["Tanh", "Tanh"])), attr("clip", Float, false, Default::None), attr("direction", Str, false, Default::Str("forward")), attr("hidden_size", Int, false, Default::None), attr("layout", Int, false, Default::Int(0))];
static A113: [AttrSpec; 5] = [attr("dtype", Int, false, Default::Int(1)), attr("mean", Float, false, Default::Float(0.0)), attr("scale", Float, false, Default::Float(1.0)), attr("seed", Float, false, Default::None), attr("shape", Ints, true, Default::None)];
static A114: [AttrSpec; 4] = [attr("dtype", Int, false, Default::None), attr("mean", Float, false, Default::Float(0.0)), attr("scale", Float, false, Default::Float(1.0)), attr("seed", Float, false, Default::None)];
static A115: [AttrSpec; 5] = [attr("dtype", Int, false, Default::Int(1)), attr("high", Float, false, Default::Float(1.0)), attr("low", Float, false, Default::Float(0.0)), attr("seed", Float, false, Default::None), attr("shape", Ints, true, Default::None)];
static A116: [AttrSpec; 4] = [attr("dtype", Int, false, Default::None), attr("high", Float, false, Default::Float(1.0)), attr("low", Float, false, Default::Float(0.0)), attr("seed", Float, false, Default::None)];
static A117: [AttrSpec; 1] = [attr("stash_type", Int, false, Default::Int(1))];
static A118: [AttrSpec; 2] = [attr("axes", Ints, false, Default::None), attr("keepdims", Int, false, Default::Int(1))];
static A119: [AttrSpec; 2] = [attr("keepdims", Int, false, Default::Int(1)), attr("noop_with_empty_axes", Int, false, Default::Int(0))];
static A120: [AttrSpec; 1] = [attr("pattern", Str, false, Default::None)];
static A121: [AttrSpec; 2] = [attr("consumed_inputs", Ints, false, Default::None), attr("shape", Ints, false, Default::None)];
static A122: [AttrSpec; 1] = [attr("allowzero", Int, false, Default::Int(0))];
static A123: [AttrSpec; 1] = [attr("mode", Str, false, Default::Str("nearest"))];
static A124: [AttrSpec; 6] = [attr("coordinate_transformation_mode", Str, false, Default::Str("half_pixel")), attr("cubic_coeff_a", Float, false, Default::Float(-0.75)), attr("exclude_outside", Int, false, Default::Int(0)), attr("extrapolation_value", Float, false, Default::Float(0.0)), attr("mode", Str, false, Default::Str("nearest")), attr("nearest_mode", Str, false, Default::Str("round_prefer_floor"))];
static A125: [AttrSpec; 9] = [attr("antialias", Int, false, Default::Int(0)), attr("axes", Ints, false, Default::None), attr("coordinate_transformation_mode", Str, false, Default::Str("half_pixel")), attr("cubic_coeff_a", Float, false, Default::Float(-0.75)), attr("exclude_outside", Int, false, Default::Int(0)), attr("extrapolation_value", Float, false, Default::Float(0.0)), attr("keep_aspect_ratio_policy", Str, false, Default::Str("stretch")), attr("mode", Str, false, Default::Str("nearest")), attr("nearest_mode", Str, false, Default::Str("round_prefer_floor"))];
static A126: [AttrSpec; 2] = [attr("batch_axis", Int, false, Default::Int(1)), attr("time_axis", Int, false, Default::Int(0))];
static A127: [AttrSpec; 5] = [attr("mode", Str, false, Default::Str("avg")), attr("output_height", Int, false, Default::Int(1)), attr("output_width", Int, false, Default::Int(1)), attr("sampling_ratio", Int, false, Default::Int(0)), attr("spatial_scale", Float, false, Default::Float(1.0))];
static A128: [AttrSpec; 6] = [attr("coordinate_transformation_mode", Str, false, Default::Str("half_pixel")), attr("mode", Str, false, Default::Str("avg")), attr("output_height", Int, false, Default::Int(1)), attr("output_width", Int, false, Default::Int(1)), attr("sampling_ratio", Int, false, Default::Int(0)), attr("spatial_scale", Float, false, Default::Float(1.0))];
static A129: [AttrSpec; 3] = [attr("interleaved", Int, false, Default::Int(0)), attr("num_heads", Int, false, Default::None), attr("rotary_embedding_dim", Int, false, Default::Int(0))];
static A130: [AttrSpec; 1] = [attr("onesided", Int, false, Default::Int(1))];
static A131: [AttrSpec; 3] = [attr("body", Graph, true, Default::None), attr("directions", Ints, false, Default::None), attr("num_scan_inputs", Int, true, Default::None)];
static A132: [AttrSpec; 6] = [attr("body", Graph, true, Default::None), attr("num_scan_inputs", Int, true, Default::None), attr("scan_input_axes", Ints, false, Default::None), attr("scan_input_directions", Ints, false, Default::None), attr("scan_output_axes", Ints, false, Default::None), attr("scan_output_directions", Ints, false, Default::None)];
static A133: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(0)), attr("reduction", Str, false, Default::Str("none"))];
static A134: [AttrSpec; 1] = [attr("reduction", Str, false, Default::Str("none"))];
static A135: [AttrSpec; 3] = [attr("alpha", Float, false, Default::Float(1.67320001)), attr("consumed_inputs", Ints, false, Default::None), attr("gamma", Float, false, Default::Float(1.05069995))];
static A136: [AttrSpec; 2] = [attr("alpha", Float, false, Default::Float(1.67326319)), attr("gamma", Float, false, Default::Float(1.05070102))];
static A137: [AttrSpec; 1] = [attr("dtype", Int, false, Default::None)];
static A138: [AttrSpec; 2] = [attr("end", Int, false, Default::None), attr("start", Int, false, Default::Int(0))];
static A139: [AttrSpec; 2] = [attr("bias", Float, false, Default::Float(0.0)), attr("lambd", Float, false, Default::Float(0.5))];
static A140: [AttrSpec; 3] = [attr("axes", Ints, false, Default::None), attr("ends", Ints, true, Default::None), attr("starts", Ints, true, Default::None)];
static A141: [AttrSpec; 2] = [attr("axis", Int, false, Default::None), attr("split", Ints, false, Default::None)];
static A142: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(0)), attr("split", Ints, false, Default::None)];
static A143: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(0)), attr("num_outputs", Int, false, Default::None)];
static A144: [AttrSpec; 4] = [attr("case_change_action", Str, false, Default::Str("NONE")), attr("is_case_sensitive", Int, false, Default::Int(0)), attr("locale", Str, false, Default::None), attr("stopwords", Strs, false, Default::None)];
static A145: [AttrSpec; 2] = [attr("delimiter", Str, false, Default::None), attr("maxsplit", Int, false, Default::None)];
static A146: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(-2)), attr("mode", Str, false, Default::Str("linear"))];
static A147: [AttrSpec; 9] = [attr("max_gram_length", Int, true, Default::None), attr("max_skip_count", Int, true, Default::None), attr("min_gram_length", Int, true, Default::None), attr("mode", Str, true, Default::None), attr("ngram_counts", Ints, true, Default::None), attr("ngram_indexes", Ints, true, Default::None), attr("pool_int64s", Ints, false, Default::None), attr("pool_strings", Strs, false, Default::None), attr("weights", Floats, false, Default::None)];
static A148: [AttrSpec; 2] = [attr("axis", Int, false, Default::Int(-1)), attr("k", Int, true, Default::None)];
static A149: [AttrSpec; 3] = [attr("axis", Int, false, Default::Int(-1)), attr("largest", Int, false, Default::Int(1)), attr("sorted", Int, false, Default::Int(1))];
static A150: [AttrSpec; 1] = [attr("perm", Ints, false, Default::None)];
static A151: [AttrSpec; 1] = [attr("upper", Int, false, Default::Int(1))];
static A152: [AttrSpec; 2] = [attr("axis", Int, false, Default::None), attr("sorted", Int, false, Default::Int(1))];
static A153: [AttrSpec; 1] = [attr("axes", Ints, true, Default::None)];
static A154: [AttrSpec; 3] = [attr("height_scale", Float, true, Default::None), attr("mode", Str, false, Default::Str("nearest")), attr("width_scale", Float, true, Default::None)];
static A155: [AttrSpec; 2] = [attr("mode", Str, false, Default::Str("nearest")), attr("scales", Floats, true, Default::None)];
static A156: [AttrSpec; 1] = [attr("threshold", Float, false, Default::Float(0.0))];
static A157: [AttrSpec; 3] = [attr("cast_to", Str, false, Default::Str("TO_FLOAT")), attr("map_form", Str, false, Default::Str("DENSE")), attr("max_map", Int, false, Default::Int(1))];
static A158: [AttrSpec; 4] = [attr("cats_int64s", Ints, false, Default::None), attr("cats_strings", Strs, false, Default::None), attr("default_int64", Int, false, Default::Int(-1)), attr("default_string", Str, false, Default::Str("_Unused"))];
static A159: [AttrSpec; 2] = [attr("int64_vocabulary", Ints, false, Default::None), attr("string_vocabulary", Strs, false, Default::None)];
static A160: [AttrSpec; 1] = [attr("inputdimensions", Ints, false, Default::None)];
static A161: [AttrSpec; 4] = [attr("imputed_value_floats", Floats, false, Default::None), attr("imputed_value_int64s", Ints, false, Default::None), attr("replaced_value_float", Float, false, Default::Float(0.0)), attr("replaced_value_int64", Int, false, Default::Int(0))];
static A162: [AttrSpec; 3] = [attr("classes_strings", Strs, false, Default::None), attr("default_int64", Int, false, Default::Int(-1)), attr("default_string", Str, false, Default::Str("_Unused"))];
static A163: [AttrSpec; 9] = [attr("default_float", Float, false, Default::Float(-0.0)), attr("default_int64", Int, false, Default::Int(-1)), attr("default_string", Str, false, Default::Str("_Unused")), attr("keys_floats", Floats, false, Default::None), attr("keys_int64s", Ints, false, Default::None), attr("keys_strings", Strs, false, Default::None), attr("values_floats", Floats, false, Default::None), attr("values_int64s", Ints, false, Default::None), attr("values_strings", Strs, false, Default::None)];
static A164: [AttrSpec; 12] = [attr("default_float", Float, false, Default::Float(-0.0)), attr("default_int64", Int, false, Default::Int(-1)), attr("default_string", Str, false, Default::Str("_Unused")), attr("default_tensor", Tensor, false, Default::None), attr("keys_floats", Floats, false, Default::None), attr("keys_int64s", Ints, false, Default::None), attr("keys_strings", Strs, false, Default::None), attr("keys_tensor", Tensor, false, Default::None), attr("values_floats", Floats, false, Default::None), attr("values_int64s", Ints, false, Default::None), attr("values_strings", Strs, false, Default::None), attr("values_tensor", Tensor, false, Default::None)];
static A165: [AttrSpec; 6] = [attr("classlabels_ints", Ints, false, Default::None), attr("classlabels_strings", Strs, false, Default::None), attr("coefficients", Floats, true, Default::None), attr("intercepts", Floats, false, Default::None), attr("multi_class", Int, false, Default::Int(0)), attr("post_transform", Str, false, Default::Str("NONE"))];
static A166: [AttrSpec; 4] = [attr("coefficients", Floats, false, Default::None), attr("intercepts", Floats, false, Default::None), attr("post_transform", Str, false, Default::Str("NONE")), attr("targets", Int, false, Default::Int(1))];
static A167: [AttrSpec; 1] = [attr("norm", Str, false, Default::Str("MAX"))];
static A168: [AttrSpec; 3] = [attr("cats_int64s", Ints, false, Default::None), attr("cats_strings", Strs, false, Default::None), attr("zeros", Int, false, Default::Int(1))];
static A169: [AttrSpec; 11] = [attr("classlabels_ints", Ints, false, Default::None), attr("classlabels_strings", Strs, false, Default::None), attr("coefficients", Floats, false, Default::None), attr("kernel_params", Floats, false, Default::None), attr("kernel_type", Str, false, Default::Str("LINEAR")), attr("post_transform", Str, false, Default::Str("NONE")), attr("prob_a", Floats, false, Default::None), attr("prob_b", Floats, false, Default::None), attr("rho", Floats, false, Default::None), attr("support_vectors", Floats, false, Default::None), attr("vectors_per_class", Ints, false, Default::None)];
static A170: [AttrSpec; 8] = [attr("coefficients", Floats, false, Default::None), attr("kernel_params", Floats, false, Default::None), attr("kernel_type", Str, false, Default::Str("LINEAR")), attr("n_supports", Int, false, Default::Int(0)), attr("one_class", Int, false, Default::Int(0)), attr("post_transform", Str, false, Default::Str("NONE")), attr("rho", Floats, false, Default::None), attr("support_vectors", Floats, false, Default::None)];
static A171: [AttrSpec; 2] = [attr("offset", Floats, false, Default::None), attr("scale", Floats, false, Default::None)];
static A172: [AttrSpec; 16] = [attr("aggregate_function", Int, false, Default::Int(1)), attr("leaf_targetids", Ints, true, Default::None), attr("leaf_weights", Tensor, true, Default::None), attr("membership_values", Tensor, false, Default::None), attr("n_targets", Int, false, Default::None), attr("nodes_falseleafs", Ints, true, Default::None), attr("nodes_falsenodeids", Ints, true, Default::None), attr("nodes_featureids", Ints, true, Default::None), attr("nodes_hitrates", Tensor, false, Default::None), attr("nodes_missing_value_tracks_true", Ints, false, Default::None), attr("nodes_modes", Tensor, true, Default::None), attr("nodes_splits", Tensor, true, Default::None), attr("nodes_trueleafs", Ints, true, Default::None), attr("nodes_truenodeids", Ints, true, Default::None), attr("post_transform", Int, false, Default::Int(0)), attr("tree_roots", Ints, true, Default::None)];
static A173: [AttrSpec; 17] = [attr("base_values", Floats, false, Default::None), attr("class_ids", Ints, false, Default::None), attr("class_nodeids", Ints, false, Default::None), attr("class_treeids", Ints, false, Default::None), attr("class_weights", Floats, false, Default::None), attr("classlabels_int64s", Ints, false, Default::None), attr("classlabels_strings", Strs, false, Default::None), attr("nodes_falsenodeids", Ints, false, Default::None), attr("nodes_featureids", Ints, false, Default::None), attr("nodes_hitrates", Floats, false, Default::None), attr("nodes_missing_value_tracks_true", Ints, false, Default::None), attr("nodes_modes", Strs, false, Default::None), attr("nodes_nodeids", Ints, false, Default::None), attr("nodes_treeids", Ints, false, Default::None), attr("nodes_truenodeids", Ints, false, Default::None), attr("nodes_values", Floats, false, Default::None), attr("post_transform", Str, false, Default::Str("NONE"))];
static A174: [AttrSpec; 21] = [attr("base_values", Floats, false, Default::None), attr("base_values_as_tensor", Tensor, false, Default::None), attr("class_ids", Ints, false, Default::None), attr("class_nodeids", Ints, false, Default::None), attr("class_treeids", Ints, false, Default::None), attr("class_weights", Floats, false, Default::None), attr("class_weights_as_tensor", Tensor, false, Default::None), attr("classlabels_int64s", Ints, false, Default::None), attr("classlabels_strings", Strs, false, Default::None), attr("nodes_falsenodeids", Ints, false, Default::None), attr("nodes_featureids", Ints, false, Default::None), attr("nodes_hitrates", Floats, false, Default::None), attr("nodes_hitrates_as_tensor", Tensor, false, Default::None), attr("nodes_missing_value_tracks_true", Ints, false, Default::None), attr("nodes_modes", Strs, false, Default::None), attr("nodes_nodeids", Ints, false, Default::None), attr("nodes_treeids", Ints, false, Default::None), attr("nodes_truenodeids", Ints, false, Default::None), attr("nodes_values", Floats, false, Default::None), attr("nodes_values_as_tensor", Tensor, false, Default::None), attr("post_transform", Str, false, Default::Str("NONE"))];
static A175: [AttrSpec; 17] = [attr("aggregate_function", Str, false, Default::Str("SUM")), attr("base_values", Floats, false, Default::None), attr("n_targets", Int, false, Default::None), attr("nodes_falsenodeids", Ints, false, Default::None), attr("nodes_featureids", Ints, false, Default::None), attr("nodes_hitrates", Floats, false, Default::None), attr("nodes_missing_value_tracks_true", Ints, false, Default::None), attr("nodes_modes", Strs, false, Default::None), attr("nodes_nodeids", Ints, false, Default::None), attr("nodes_treeids", Ints, false, Default::None), attr("nodes_truenodeids", Ints, false, Default::None), attr("nodes_values", Floats, false, Default::None), attr("post_transform", Str, false, Default::Str("NONE")), attr("target_ids", Ints, false, Default::None), attr("target_nodeids", Ints, false, Default::None), attr("target_treeids", Ints, false, Default::None), attr("target_weights", Floats, false, Default::None)];
static A176: [AttrSpec; 21] = [attr("aggregate_function", Str, false, Default::Str("SUM")), attr("base_values", Floats, false, Default::None), attr("base_values_as_tensor", Tensor, false, Default::None), attr("n_targets", Int, false, Default::None), attr("nodes_falsenodeids", Ints, false, Default::None), attr("nodes_featureids", Ints, false, Default::None), attr("nodes_hitrates", Floats, false, Default::None), attr("nodes_hitrates_as_tensor", Tensor, false, Default::None), attr("nodes_missing_value_tracks_true", Ints, false, Default::None), attr("nodes_modes", Strs, false, Default::None), attr("nodes_nodeids", Ints, false, Default::None), attr("nodes_treeids", Ints, false, Default::None), attr("nodes_truenodeids", Ints, false, Default::None), attr("nodes_values", Floats, false, Default::None), attr("nodes_values_as_tensor", Tensor, false, Default::None), attr("post_transform", Str, false, Default::Str("NONE")), attr("target_ids", Ints, false, Default::None), attr("target_nodeids", Ints, false, Default::None), attr("target_treeids", Ints, false, Default::None), attr("target_weights", Floats, false, Default::None), attr("target_weights_as_tensor", Tensor, false, Default::None)];
static A177: [AttrSpec; 2] = [attr("classlabels_int64s", Ints, false, Default::None), attr("classlabels_strings", Strs, false, Default::None)];
static A178: [AttrSpec; 4] = [attr("prob_mod", Graph, false, Default::None), attr("scale", Float, false, Default::None), attr("score_mod", Graph, false, Default::None), attr("softmax_precision", Int, false, Default::None)];
static A179: [AttrSpec; 3] = [attr("decay_factor", Float, false, Default::Float(0.0)), attr("epsilon", Float, false, Default::Float(9.99999997e-07)), attr("norm_coefficient", Float, false, Default::Float(0.0))];
static A180: [AttrSpec; 5] = [attr("alpha", Float, false, Default::Float(0.899999976)), attr("beta", Float, false, Default::Float(0.999000013)), attr("epsilon", Float, false, Default::Float(9.99999997e-07)), attr("norm_coefficient", Float, false, Default::Float(0.0)), attr("norm_coefficient_post", Float, false, Default::Float(0.0))];
static A181: [AttrSpec; 3] = [attr("xs", Strs, true, Default::None), attr("y", Str, true, Default::None), attr("zs", Strs, false, Default::None)];
static A182: [AttrSpec; 4] = [attr("alpha", Float, true, Default::None), attr("beta", Float, true, Default::None), attr("mode", Str, true, Default::None), attr("norm_coefficient", Float, true, Default::None)];
