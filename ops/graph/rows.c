/* SPDX-License-Identifier: MIT
 *
 * The table of ONNX operators: one line per (operator, since-versions that behave alike), and the attribute schemas.
 * Versions below 7 stand only where opset 7 still means them. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include <string.h>

#define F(field, dflt, onnx)                                                                       \
    {                                                                                              \
        onnx, HN_ATTR_F32, (double)(dflt), offsetof(struct hn_onnx_attrs, field)                   \
    }
#define I(field, dflt, onnx)                                                                       \
    {                                                                                              \
        onnx, HN_ATTR_I64, dflt, offsetof(struct hn_onnx_attrs, field)                             \
    }
#define LIST(field, onnx)                                                                          \
    {                                                                                              \
        onnx, HN_ATTR_I64S, 0, offsetof(struct hn_onnx_attrs, field)                               \
    }
#define IGNORED(kind, onnx)                                                                        \
    {                                                                                              \
        onnx, kind, 0, HN_ATTR_IGNORED                                                             \
    }
#define SCHEMA(name, ...) static const struct hn_attr_spec name[] = { __VA_ARGS__, { 0 } }
#define INF               __builtin_inf()
#define HN_ML             "ai.onnx.ml"

SCHEMA(a_old, IGNORED(HN_ATTR_I64S, "consumed_inputs"));
SCHEMA(a_leaky, F(alpha, 0.01f, "alpha"), IGNORED(HN_ATTR_I64S, "consumed_inputs"));
SCHEMA(a_elu, F(alpha, 1, "alpha"));
SCHEMA(a_selu, F(alpha, 1.67326319217681884765625f, "alpha"),
       F(gamma, 1.05070102214813232421875f, "gamma"));
SCHEMA(a_hard, F(alpha, 0.2f, "alpha"), F(beta, 0.5f, "beta"));
SCHEMA(a_gelu, { "approximate", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, approximate) });
SCHEMA(a_clip, F(lo, -INF, "min"), F(hi, INF, "max"));
SCHEMA(a_gemm, F(alpha, 1, "alpha"), F(beta, 1, "beta"), I(trans_a, 0, "transA"),
       I(trans_b, 0, "transB"));
SCHEMA(a_norm, F(epsilon, 1e-5f, "epsilon"), F(momentum, 0.9f, "momentum"),
       I(training_mode, 0, "training_mode"), I(spatial, 1, "spatial"));
SCHEMA(a_layer, I(axis, -1, "axis"), F(epsilon, 1e-5f, "epsilon"),
       IGNORED(HN_ATTR_I64, "stash_type"));
SCHEMA(a_drop7, F(ratio, 0.5, "ratio"));
SCHEMA(a_drop12, IGNORED(HN_ATTR_I64, "seed"));
SCHEMA(a_axis0, I(axis, 0, "axis"));
SCHEMA(a_axis1, I(axis, 1, "axis"));
SCHEMA(a_axis_last, I(axis, -1, "axis"));
SCHEMA(a_split2, I(axis, 0, "axis"), LIST(split, "split"));
SCHEMA(a_split18, I(axis, 0, "axis"), I(num_outputs, 0, "num_outputs"));
SCHEMA(a_slice1, LIST(axes, "axes"), LIST(starts, "starts"), LIST(ends, "ends"));
SCHEMA(a_if, IGNORED(HN_ATTR_GRAPH, "then_branch"), IGNORED(HN_ATTR_GRAPH, "else_branch"));
SCHEMA(a_pad2, { "mode", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, mode) }, LIST(pads, "pads"),
       F(fill, 0, "value"));
SCHEMA(a_pad, { "mode", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, mode) });
SCHEMA(a_axes, LIST(axes, "axes"));
SCHEMA(a_reshape, I(allowzero, 0, "allowzero"));
SCHEMA(a_perm, LIST(perm, "perm"));
SCHEMA(a_cast, I(to, 0, "to"), IGNORED(HN_ATTR_I64, "saturate"),
       IGNORED(HN_ATTR_STR, "round_mode"));
SCHEMA(a_shape, I(start, 0, "start"), I(end, 0, "end"));
SCHEMA(a_fill, { "value", HN_ATTR_TENSOR, 0, offsetof(struct hn_onnx_attrs, value) });
SCHEMA(a_constant, { "value", HN_ATTR_TENSOR, 0, offsetof(struct hn_onnx_attrs, value) },
       F(value_float, 0, "value_float"), I(value_int, 0, "value_int"),
       { "value_floats", HN_ATTR_F32S, 0, offsetof(struct hn_onnx_attrs, value_floats) },
       LIST(value_ints, "value_ints"));
SCHEMA(a_group, F(epsilon, 1e-5f, "epsilon"), I(groups, 0, "num_groups"),
       IGNORED(HN_ATTR_I64, "stash_type"));
SCHEMA(a_instance, F(epsilon, 1e-5f, "epsilon"), IGNORED(HN_ATTR_I64S, "consumed_inputs"));
SCHEMA(a_lp, I(axis, -1, "axis"), I(p, 2, "p"));
SCHEMA(a_like, IGNORED(HN_ATTR_I64, "saturate"), IGNORED(HN_ATTR_STR, "round_mode"));
SCHEMA(a_reduce1, LIST(axes, "axes"), I(keepdims, 1, "keepdims"));
SCHEMA(a_reduce18, I(keepdims, 1, "keepdims"), I(noop, 0, "noop_with_empty_axes"));
SCHEMA(a_arg1, I(axis, 0, "axis"), I(keepdims, 1, "keepdims"));
SCHEMA(a_topk1, I(axis, -1, "axis"), I(k, 0, "k"));
SCHEMA(a_topk10, I(axis, -1, "axis"));
SCHEMA(a_topk11, I(axis, -1, "axis"), I(largest, 1, "largest"), I(sorted, 1, "sorted"));
SCHEMA(a_einsum, { "equation", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, equation) });
SCHEMA(a_gather_nd, I(batch_dims, 0, "batch_dims"));
SCHEMA(a_pieces, I(axis, 0, "axis"), I(keepdims, 1, "keepdims"));
SCHEMA(a_trilu, I(upper, 1, "upper"));
SCHEMA(a_cumsum, I(exclusive, 0, "exclusive"), I(reverse, 0, "reverse"));
SCHEMA(a_mod, I(fmod, 0, "fmod"));
SCHEMA(a_inf, I(negative, 1, "detect_negative"), I(positive, 1, "detect_positive"));
SCHEMA(a_arg12, I(axis, 0, "axis"), I(keepdims, 1, "keepdims"), I(last, 0, "select_last_index"));

SCHEMA(a_scaler, { "offset", HN_ATTR_F32S, 0, offsetof(struct hn_onnx_attrs, offset) },
       { "scale", HN_ATTR_F32S, 0, offsetof(struct hn_onnx_attrs, scale) });
SCHEMA(a_normalizer, { "norm", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, norm) });
SCHEMA(a_imputer, F(replaced, 0, "replaced_value_float"),
       IGNORED(HN_ATTR_I64, "replaced_value_int64"),
       { "imputed_value_floats", HN_ATTR_F32S, 0, offsetof(struct hn_onnx_attrs, imputed) },
       IGNORED(HN_ATTR_I64S, "imputed_value_int64s"));
SCHEMA(a_vectorizer, IGNORED(HN_ATTR_I64S, "inputdimensions"));
SCHEMA(a_onehot, IGNORED(HN_ATTR_I64S, "cats_int64s"), IGNORED(HN_ATTR_STRS, "cats_strings"),
       IGNORED(HN_ATTR_I64, "zeros"));
SCHEMA(a_binarizer, F(alpha, 0, "threshold"));
SCHEMA(a_zipmap, IGNORED(HN_ATTR_I64S, "classlabels_int64s"),
       IGNORED(HN_ATTR_STRS, "classlabels_strings"));
SCHEMA(a_linear, IGNORED(HN_ATTR_F32S, "coefficients"), IGNORED(HN_ATTR_F32S, "intercepts"),
       IGNORED(HN_ATTR_STR, "post_transform"), IGNORED(HN_ATTR_I64, "multi_class"),
       IGNORED(HN_ATTR_I64, "targets"), IGNORED(HN_ATTR_I64S, "classlabels_ints"),
       IGNORED(HN_ATTR_STRS, "classlabels_strings"));
SCHEMA(a_encoder, IGNORED(HN_ATTR_STRS, "classes_strings"), IGNORED(HN_ATTR_I64S, "keys_int64s"),
       IGNORED(HN_ATTR_STRS, "keys_strings"), IGNORED(HN_ATTR_F32S, "keys_floats"),
       IGNORED(HN_ATTR_I64S, "values_int64s"), IGNORED(HN_ATTR_STRS, "values_strings"),
       IGNORED(HN_ATTR_F32S, "values_floats"), IGNORED(HN_ATTR_I64, "default_int64"),
       IGNORED(HN_ATTR_STR, "default_string"), IGNORED(HN_ATTR_F32, "default_float"));

SCHEMA(a_fused_gemm, F(alpha, 1, "alpha"), F(beta, 1, "beta"), I(trans_a, 0, "transA"),
       I(trans_b, 0, "transB"),
       { "activation", HN_ATTR_STR, 0, offsetof(struct hn_onnx_attrs, activation) },
       F(act_alpha, 0, "activation_alpha"), F(act_beta, 0, "activation_beta"),
       F(act_gamma, 0, "activation_gamma"));
SCHEMA(a_fused_matmul, F(alpha, 1, "alpha"), I(trans_a, 0, "transA"), I(trans_b, 0, "transB"),
       I(batch_a, 0, "transBatchA"), I(batch_b, 0, "transBatchB"));
SCHEMA(a_quick, F(alpha, 1.702f, "alpha"));
SCHEMA(a_quantize, I(axis, 1, "axis"), I(block, 0, "block_size"),
       I(output_dtype, 0, "output_dtype"), IGNORED(HN_ATTR_I64, "saturate"),
       IGNORED(HN_ATTR_I64, "precision"));
SCHEMA(a_skip, F(epsilon, 1e-12f, "epsilon"));

#define ALL    0xffffffffu
#define FOLDS  HN_ROW_FOLD
#define FLOATS (HN_ROW_FOLD | HN_ROW_FLOAT)
#define SINGLE (FLOATS | HN_ROW_SINGLE)
#define VIEWS  (HN_ROW_VIEW | HN_ROW_FOLD | HN_ROW_LABELS | HN_ROW_TEXT)
#define MOVES  (HN_ROW_FOLD | HN_ROW_TEXT)
#define V(...)                                                                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define UNARY(type, since, u, attrs)                                                               \
    {                                                                                              \
        "", type, since, 1, 1, 1, HN_U_##u, SINGLE, 1, 0, attrs, hn_infer_unary, NULL,             \
            hn_lower_unary                                                                         \
    }
#define BINARY(type, since, b, ints)                                                               \
    {                                                                                              \
        "", type, since, 2, 2, 1, HN_B_##b, FOLDS | HN_ROW_SINGLE, 3, 3, a_old, hn_infer_binary,   \
            ints, hn_lower_binary                                                                  \
    }
#define VARIADIC(type, since, b)                                                                   \
    {                                                                                              \
        "", type, since, 1, 255, 1, HN_B_##b, FOLDS | HN_ROW_SINGLE, ALL, ALL, a_old,              \
            hn_infer_binary, NULL, hn_lower_binary                                                 \
    }
#define VIEW(type, since, in, attrs, infer, ints)                                                  \
    {                                                                                              \
        "", type, since, 1, in, 1, 0, VIEWS, 1, 0, attrs, infer, ints, hn_lower_view               \
    }
#define REDUCE(type, since, in, r, attrs)                                                          \
    {                                                                                              \
        "", type, since, 1, in, 1, HN_R_##r, FOLDS, 1, 0, attrs, hn_infer_reduce, NULL,            \
            hn_lower_reduce                                                                        \
    }
#define ML(type, in, flags, attrs, infer, lower)                                                   \
    {                                                                                              \
        HN_ML, type, V(1), 1, in, 1, 0, flags, ALL, 0, attrs, infer, NULL, lower                   \
    }
#define REDUCED(type, since, in, flags, attrs, lower)                                              \
    {                                                                                              \
        "", type, since, 1, in, 1, HN_B_COUNT, flags, 1, 0, attrs, hn_infer_reduce, NULL, lower    \
    }
#define ARG(type, since, attrs)                                                                    \
    {                                                                                              \
        "", type, since, 1, 1, 1, 0, SINGLE, 1, 0, attrs, hn_infer_arg, NULL, hn_lower_arg         \
    }
#define COMPARE(type, since, b)                                                                    \
    {                                                                                              \
        "", type, since, 2, 2, 1, HN_B_##b, FOLDS | HN_ROW_SINGLE, 3, 0, NULL, hn_infer_compare,   \
            NULL, hn_lower_compare                                                                 \
    }
#define LOGIC(type, b)                                                                             \
    {                                                                                              \
        "", type, V(7), 2, 2, 1, HN_B_##b, FOLDS | HN_ROW_SINGLE, 3, 0, NULL, hn_infer_logic,      \
            NULL, hn_lower_compare                                                                 \
    }

/* clang-format off */
const struct hn_onnx_row hn_onnx_rows[] = {
    UNARY("Relu", V(6, 13, 14), RELU, NULL),
    UNARY("LeakyRelu", V(6, 16), LEAKY_RELU, a_leaky),
    UNARY("Elu", V(6, 22), ELU, a_elu),
    UNARY("Selu", V(6, 22), SELU, a_selu),
    UNARY("Celu", V(12), CELU, a_elu),
    UNARY("Sigmoid", V(6, 13), SIGMOID, NULL),
    UNARY("HardSigmoid", V(6, 22), HARD_SIGMOID, a_hard),
    UNARY("HardSwish", V(14, 22), HARD_SWISH, NULL),
    UNARY("Tanh", V(6, 13), TANH, NULL),
    UNARY("Softplus", V(1, 22), SOFTPLUS, NULL),
    UNARY("Sin", V(7, 22), SIN, NULL),
    UNARY("Cos", V(7, 22), COS, NULL),
    UNARY("Sign", V(9, 13), SIGN, NULL),
    UNARY("Floor", V(6, 13), FLOOR, NULL),
    UNARY("Ceil", V(6, 13), CEIL, NULL),
    UNARY("Round", V(11, 22), ROUND, NULL),
    UNARY("Tan", V(7, 22), TAN, NULL),
    UNARY("Asin", V(7, 22), ASIN, NULL),
    UNARY("Acos", V(7, 22), ACOS, NULL),
    UNARY("Atan", V(7, 22), ATAN, NULL),
    UNARY("Sinh", V(9, 22), SINH, NULL),
    UNARY("Cosh", V(9, 22), COSH, NULL),
    UNARY("Asinh", V(9, 22), ASINH, NULL),
    { "", "Acosh", V(9, 22), 1, 1, 1, 0, SINGLE, 1, 0, NULL, hn_infer_unary, NULL, hn_lower_acosh },
    UNARY("Atanh", V(9, 22), ATANH, NULL),
    UNARY("Softsign", V(1, 22), SOFTSIGN, NULL),
    UNARY("ThresholdedRelu", V(10, 22), THRESHOLDED_RELU, a_elu),
    UNARY("Gelu", V(20), GELU, a_gelu),
    UNARY("Mish", V(18, 22), MISH, NULL),
    UNARY("Swish", V(24), SILU, a_elu),
    UNARY("Erf", V(9, 13), ERF, NULL),
    UNARY("Neg", V(6, 13), NEG, NULL),
    UNARY("Abs", V(6, 13), ABS, NULL),
    UNARY("Exp", V(6, 13), EXP, NULL),
    UNARY("Log", V(6, 13), LOG, NULL),
    UNARY("Sqrt", V(6, 13), SQRT, NULL),
    UNARY("Reciprocal", V(6, 13), RECIPROCAL, NULL),
    { "", "Clip", V(6), 1, 1, 1, 0, SINGLE, 1, 0, a_clip, hn_infer_clip, NULL, hn_lower_clip },
    { "", "Clip", V(11, 12, 13), 1, 3, 1, 0, SINGLE, 1, 0, NULL, hn_infer_clip, NULL, hn_lower_clip },
    { "", "PRelu", V(7, 9, 16), 2, 2, 1, 0, FLOATS, 3, 2, NULL, hn_infer_prelu, NULL, hn_lower_prelu },
    BINARY("Add", V(7, 13, 14), ADD, hn_ints_arith),
    BINARY("Sub", V(7, 13, 14), SUB, hn_ints_arith),
    BINARY("Mul", V(7, 13, 14), MUL, hn_ints_arith),
    BINARY("Div", V(7, 13, 14), DIV, hn_ints_arith),
    BINARY("Pow", V(7, 12, 13, 15), POW, NULL),
    VARIADIC("Sum", V(6, 8, 13), ADD),
    VARIADIC("Max", V(6, 8, 12, 13), MAX),
    VARIADIC("Min", V(6, 8, 12, 13), MIN),
    { "", "Mean", V(6, 8, 13), 1, 255, 1, HN_B_ADD, SINGLE, ALL, ALL, a_old, hn_infer_binary, NULL, hn_lower_mean },
    COMPARE("Greater", V(7, 9, 13), GREATER),
    COMPARE("Less", V(7, 9, 13), GREATER),
    COMPARE("GreaterOrEqual", V(12, 16), NOT_LESS),
    COMPARE("LessOrEqual", V(12, 16), NOT_LESS),
    { "", "Equal", V(7, 11, 13, 19), 2, 2, 1, HN_B_EQUAL, FOLDS | HN_ROW_SINGLE, 3, 0, NULL, hn_infer_compare, hn_ints_equal,
      hn_lower_compare },
    LOGIC("And", MUL),
    LOGIC("Or", MAX),
    { "", "Not", V(1), 1, 1, 1, 0, FOLDS | HN_ROW_SINGLE, 1, 0, NULL, hn_infer_logic, NULL, hn_lower_not },
    { "", "Where", V(9, 16), 3, 3, 1, 0, FOLDS | HN_ROW_SINGLE, 7, 0, NULL, hn_infer_where, hn_ints_where, hn_lower_where },
    { "", "Gemm", V(7, 9, 11, 13), 2, 3, 1, 0, FLOATS, 7, 7, a_gemm, hn_infer_gemm, NULL, hn_lower_gemm },
    { "", "MatMul", V(1, 9, 13), 2, 2, 1, 0, SINGLE, 3, 3, NULL, hn_infer_matmul, NULL, hn_lower_matmul },
    { "com.microsoft", "FusedGemm", V(1), 2, 3, 1, 0, FLOATS, 7, 7, a_fused_gemm, hn_infer_fused_gemm, NULL, hn_lower_fused_gemm },
    { "com.microsoft", "FusedMatMul", V(1), 2, 2, 1, 0, FLOATS, 3, 3, a_fused_matmul, hn_infer_matmul, NULL, hn_lower_matmul },
    { "", "QuantizeLinear", V(10, 13, 19, 21, 23, 24, 25), 2, 3, 1, 0, HN_ROW_FLOAT, 1, 0, a_quantize,
      hn_infer_quantize, NULL, hn_lower_quantize },
    { "", "DequantizeLinear", V(10, 13, 19, 21, 23, 24, 25), 2, 3, 1, 0, 0, 1, 0, a_quantize,
      hn_infer_dequantize, NULL, hn_lower_dequantize },
    { "com.microsoft", "QuantizeLinear", V(1), 2, 3, 1, 0, HN_ROW_FLOAT, 1, 0, a_quantize,
      hn_infer_quantize, NULL, hn_lower_quantize },
    { "com.microsoft", "DequantizeLinear", V(1), 2, 3, 1, 0, 0, 1, 0, a_quantize, hn_infer_dequantize, NULL,
      hn_lower_dequantize },
    { "com.microsoft", "Gelu", V(1), 1, 1, 1, HN_U_GELU, SINGLE, 1, 0, NULL, hn_infer_unary, NULL, hn_lower_unary },
    { "com.microsoft", "QuickGelu", V(1), 1, 1, 1, HN_U_SILU, SINGLE, 1, 0, a_quick, hn_infer_unary, NULL, hn_lower_unary },
    { "com.microsoft", "BiasGelu", V(1), 2, 2, 1, HN_U_GELU, FLOATS, 3, 2, NULL, hn_infer_bias_gelu, NULL, hn_lower_bias_gelu },
    { "com.microsoft", "FastGelu", V(1), 1, 2, 1, HN_U_GELU_TANH, FLOATS, 3, 2, NULL, hn_infer_bias_gelu, NULL, hn_lower_bias_gelu },
    { "com.microsoft", "SkipLayerNormalization", V(1), 3, 5, 255, 0, FLOATS, 31, 28, a_skip, hn_infer_skip_norm, NULL, hn_lower_skip_norm },
    { "com.microsoft", "SkipSimplifiedLayerNormalization", V(1), 3, 4, 255, 1, FLOATS, 15, 12, a_skip,
      hn_infer_skip_norm, NULL, hn_lower_skip_norm },
    { "", "SimplifiedLayerNormalization", V(1), 2, 2, 1, 0, FLOATS, 3, 2, a_layer, hn_infer_rmsnorm, NULL, hn_lower_rmsnorm },
    { "", "BatchNormalization", V(7, 9), 5, 5, 5, 0, HN_ROW_FLOAT | HN_ROW_RANDOM, 7, 6, a_norm,
      hn_infer_batchnorm, NULL, hn_lower_batchnorm },
    { "", "BatchNormalization", V(14, 15), 5, 5, 3, 1, HN_ROW_FLOAT | HN_ROW_RANDOM, 7, 6, a_norm,
      hn_infer_batchnorm, NULL, hn_lower_batchnorm },
    { "", "Dropout", V(7, 10), 1, 1, 2, 0, HN_ROW_FLOAT | HN_ROW_RANDOM, 1, 0, a_drop7,
      hn_infer_dropout, NULL, hn_lower_dropout },
    { "", "Dropout", V(12, 13, 22), 1, 3, 2, 1, HN_ROW_FLOAT | HN_ROW_RANDOM, 1, 0, a_drop12,
      hn_infer_dropout, NULL, hn_lower_dropout },
    { "", "LayerNormalization", V(1, 17), 2, 3, 3, 0, FLOATS, 7, 6, a_layer,
      hn_infer_layernorm, NULL, hn_lower_layernorm },
    { "", "RMSNormalization", V(23), 2, 2, 1, 0, FLOATS, 3, 2, a_layer, hn_infer_rmsnorm, NULL, hn_lower_rmsnorm },
    { "", "InstanceNormalization", V(6, 22), 3, 3, 1, 0, FLOATS, 7, 6, a_instance, hn_infer_groupnorm, NULL, hn_lower_groupnorm },
    { "", "GroupNormalization", V(18), 3, 3, 1, 1, FLOATS, 7, 6, a_group, hn_infer_groupnorm, NULL, hn_lower_groupnorm },
    { "", "GroupNormalization", V(21), 3, 3, 1, 2, FLOATS, 7, 6, a_group, hn_infer_groupnorm, NULL, hn_lower_groupnorm },
    { "", "LpNormalization", V(1, 22), 1, 1, 1, 0, FLOATS, 1, 0, a_lp, hn_infer_lpnorm, NULL, hn_lower_lpnorm },
    { "", "Softmax", V(1, 11), 1, 1, 1, 0, FLOATS, 1, 0, a_axis1, hn_infer_softmax, NULL, hn_lower_softmax },
    { "", "Softmax", V(13), 1, 1, 1, 2, FLOATS, 1, 0, a_axis_last, hn_infer_softmax, NULL, hn_lower_softmax },
    { "", "LogSoftmax", V(1, 11), 1, 1, 1, 1, FLOATS, 1, 0, a_axis1, hn_infer_softmax, NULL, hn_lower_softmax },
    { "", "LogSoftmax", V(13), 1, 1, 1, 3, FLOATS, 1, 0, a_axis_last, hn_infer_softmax, NULL, hn_lower_softmax },
    REDUCE("ReduceMean", V(1, 11, 13), 1, MEAN, a_reduce1),
    REDUCE("ReduceMean", V(18), 2, MEAN, a_reduce18),
    REDUCE("ReduceSum", V(1, 11), 1, SUM, a_reduce1),
    REDUCE("ReduceSum", V(13), 2, SUM, a_reduce18),
    REDUCE("ReduceMax", V(1, 11, 12, 13), 1, MAX, a_reduce1),
    REDUCE("ReduceMax", V(18, 20), 2, MAX, a_reduce18),
    REDUCE("ReduceL2", V(1, 11, 13), 1, L2, a_reduce1),
    REDUCE("ReduceL2", V(18), 2, L2, a_reduce18),
    ARG("ArgMax", V(1, 11), a_arg1),
    ARG("ArgMax", V(12, 13), a_arg12),
    ARG("ArgMin", V(1, 11), a_arg1),
    ARG("ArgMin", V(12, 13), a_arg12),
    { "", "TopK", V(1), 1, 1, 2, 0, FLOATS, 1, 0, a_topk1, hn_infer_topk, NULL, hn_lower_topk },
    { "", "TopK", V(10), 2, 2, 2, 0, FLOATS, 1, 0, a_topk10, hn_infer_topk, NULL, hn_lower_topk },
    { "", "TopK", V(11, 24), 2, 2, 2, 0, FLOATS, 1, 0, a_topk11, hn_infer_topk, NULL, hn_lower_topk },
    REDUCED("ReduceMin", V(1, 11, 12, 13), 1, FOLDS, a_reduce1, hn_lower_reduce_min),
    REDUCED("ReduceMin", V(18, 20), 2, FOLDS, a_reduce18, hn_lower_reduce_min),
    REDUCED("ReduceL1", V(1, 11, 13), 1, FOLDS, a_reduce1, hn_lower_reduce_l1),
    REDUCED("ReduceL1", V(18), 2, FOLDS, a_reduce18, hn_lower_reduce_l1),
    REDUCED("ReduceSumSquare", V(1, 11, 13), 1, FOLDS, a_reduce1, hn_lower_reduce_squares),
    REDUCED("ReduceSumSquare", V(18), 2, FOLDS, a_reduce18, hn_lower_reduce_squares),
    REDUCED("ReduceLogSum", V(1, 11, 13), 1, FLOATS, a_reduce1, hn_lower_reduce_log),
    REDUCED("ReduceLogSum", V(18), 2, FLOATS, a_reduce18, hn_lower_reduce_log),
    REDUCED("ReduceLogSumExp", V(1, 11, 13), 1, FLOATS, a_reduce1, hn_lower_reduce_log_exp),
    REDUCED("ReduceLogSumExp", V(18), 2, FLOATS, a_reduce18, hn_lower_reduce_log_exp),
    { "", "ReduceProd", V(1, 11, 13), 1, 1, 1, HN_B_COUNT, FOLDS, 1, 0, a_reduce1, hn_infer_reduce, hn_ints_product, hn_lower_reduce_prod },
    { "", "ReduceProd", V(18), 1, 2, 1, HN_B_COUNT, FOLDS, 1, 0, a_reduce18, hn_infer_reduce, hn_ints_product, hn_lower_reduce_prod },
    { "", "GlobalAveragePool", V(1, 22), 1, 1, 1, HN_R_MEAN, FLOATS, 1, 0, NULL, hn_infer_global_pool, NULL, hn_lower_global_pool },
    { "", "GlobalMaxPool", V(1, 22), 1, 1, 1, HN_R_MAX, FLOATS, 1, 0, NULL, hn_infer_global_pool, NULL, hn_lower_global_pool },
    { "", "If", V(1, 11, 13, 16, 19, 21, 23, 24), 1, 4, 255, 0, VIEWS, 1, 0, a_if, hn_infer_if, hn_ints_copy, hn_lower_view },
    VIEW("Identity", V(1, 13, 14, 16, 19, 21, 23, 24, 25), 1, NULL, hn_infer_identity, hn_ints_copy),
    VIEW("Flatten", V(1, 9, 11, 13, 21, 23, 24, 25), 1, a_axis1, hn_infer_flatten, hn_ints_copy),
    VIEW("Reshape", V(5, 13, 14, 19, 21, 23, 24, 25), 2, a_reshape, hn_infer_reshape, hn_ints_copy),
    VIEW("Squeeze", V(1, 11), 1, a_axes, hn_infer_squeeze, hn_ints_copy),
    VIEW("Squeeze", V(13, 21, 23, 24, 25), 2, NULL, hn_infer_squeeze, hn_ints_copy),
    VIEW("Unsqueeze", V(1, 11), 1, a_axes, hn_infer_unsqueeze, hn_ints_copy),
    VIEW("Unsqueeze", V(13, 21, 23, 24, 25), 2, NULL, hn_infer_unsqueeze, hn_ints_copy),
    { "", "Cast", V(6, 9, 13, 19, 21, 23, 24, 25), 1, 1, 1, 0, VIEWS, 1, 0, a_cast, hn_infer_cast,
      hn_ints_copy, hn_lower_cast },
    { "", "CastLike", V(15, 19, 21, 23, 24, 25), 2, 2, 1, 0, VIEWS, 1, 0, a_like, hn_infer_cast_like,
      hn_ints_copy, hn_lower_cast },
    { "", "Transpose", V(1, 13, 21, 23, 24, 25), 1, 1, 1, 0, MOVES, 1, 0, a_perm,
      hn_infer_transpose, NULL, hn_lower_transpose },
    { "", "Concat", V(4, 11, 13), 1, 255, 1, 0, MOVES, ALL, 0, a_axis1, hn_infer_concat, hn_ints_concat, hn_lower_concat },
    { "", "Split", V(2, 11), 1, 1, 255, 0, MOVES, 1, 0, a_split2, hn_infer_split, NULL, hn_lower_split },
    { "", "Split", V(13), 1, 2, 255, 0, MOVES, 1, 0, a_axis0, hn_infer_split, NULL, hn_lower_split },
    { "", "Split", V(18), 1, 2, 255, 0, MOVES, 1, 0, a_split18, hn_infer_split, NULL, hn_lower_split },
    { "", "Slice", V(1), 1, 1, 1, 0, MOVES, 1, 0, a_slice1, hn_infer_slice, hn_ints_slice, hn_lower_slice },
    { "", "Slice", V(10, 11, 13), 3, 5, 1, 0, MOVES, 1, 0, NULL, hn_infer_slice, hn_ints_slice, hn_lower_slice },
    { "", "Gather", V(1, 11, 13), 2, 2, 1, 0, MOVES | HN_ROW_LABELS, 3, 1, a_axis0, hn_infer_gather, hn_ints_gather, hn_lower_gather },
    { "", "OneHot", V(9, 11), 3, 3, 1, 0, FOLDS, 1, 0, a_axis_last, hn_infer_one_hot, NULL, hn_lower_one_hot },
    { "", "Shape", V(1, 13, 15, 19, 21, 23, 24, 25), 1, 1, 1, 0, 0, 0, 0, a_shape, hn_infer_shape, hn_ints_shape, NULL },
    { "", "Size", V(1, 13, 19, 21, 23, 24, 25), 1, 1, 1, 0, 0, 0, 0, NULL, hn_infer_size, hn_ints_size, NULL },
    { "", "Constant", V(1, 9, 11, 12, 13, 19, 21, 23, 24, 25), 0, 0, 1, 0, 0, 0, 0, a_constant,
      hn_infer_constant, NULL, NULL },
    { "", "ConstantOfShape", V(9, 20, 21, 23, 24, 25), 1, 1, 1, 0, 0, 0, 0, a_fill,
      hn_infer_constant_of_shape, hn_ints_fill, NULL },
    { "", "Range", V(11, 27), 3, 3, 1, 0, 0, 0, 0, NULL, hn_infer_range, NULL, NULL },
    { "", "Einsum", V(12), 1, 2, 1, 0, FLOATS, 3, 3, a_einsum, hn_infer_einsum, NULL, hn_lower_einsum },
    { "", "Pad", V(2), 1, 1, 1, 0, FOLDS, 1, 0, a_pad2, hn_infer_pad, NULL, hn_lower_pad },
    { "", "Pad", V(11, 13), 2, 3, 1, 0, FOLDS, 1, 0, a_pad, hn_infer_pad, NULL, hn_lower_pad },
    { "", "Pad", V(18, 19, 21, 23, 24), 2, 4, 1, 0, FOLDS, 1, 0, a_pad, hn_infer_pad, NULL, hn_lower_pad },
    { "", "Tile", V(6, 13), 2, 2, 1, 0, FOLDS, 1, 0, NULL, hn_infer_tile, NULL, hn_lower_tile },
    { "", "GatherND", V(11, 12, 13), 2, 2, 1, 0, FOLDS, 1, 0, a_gather_nd, hn_infer_gather_nd, NULL, hn_lower_gather_nd },
    { "", "SplitToSequence", V(11, 24), 1, 2, 1, 0, 0, 1, 0, a_pieces, hn_infer_split_to_sequence, NULL, hn_lower_view },
    { "", "SequenceAt", V(11), 2, 2, 1, 0, 0, 1, 0, NULL, hn_infer_sequence_at, NULL, hn_lower_sequence_at },
    { "", "Trilu", V(14), 1, 2, 1, 0, FOLDS, 1, 0, a_trilu, hn_infer_trilu, NULL, hn_lower_trilu },
    { "", "CumSum", V(11, 14), 2, 2, 1, 0, FOLDS, 1, 0, a_cumsum, hn_infer_cumsum, NULL, hn_lower_cumsum },
    { "", "IsNaN", V(9, 13, 20), 1, 1, 1, 0, SINGLE, 1, 0, NULL, hn_infer_nan, NULL, hn_lower_nan },
    { "", "IsInf", V(10, 20), 1, 1, 1, 1, SINGLE, 1, 0, a_inf, hn_infer_nan, NULL, hn_lower_nan },
    { "", "Mod", V(10, 13), 2, 2, 1, 0, FOLDS | HN_ROW_SINGLE, 3, 0, a_mod, hn_infer_mod, hn_ints_mod, hn_lower_mod },
    { "", "Expand", V(8, 13), 2, 2, 1, 0, FOLDS, 1, 1, NULL, hn_infer_expand, NULL, hn_lower_expand },
    ML("Scaler", 1, 0, a_scaler, hn_infer_scaler, hn_lower_scaler),
    ML("Normalizer", 1, 0, a_normalizer, hn_infer_normalizer, hn_lower_normalizer),
    ML("Imputer", 1, 0, a_imputer, hn_infer_imputer, hn_lower_imputer),
    { HN_ML, "ArrayFeatureExtractor", V(1), 2, 2, 1, 0, HN_ROW_LABELS | HN_ROW_TEXT, 3, 0, NULL, hn_infer_extractor, NULL, hn_lower_extractor },
    { HN_ML, "LabelEncoder", V(1, 2, 4), 1, 1, 1, 0, HN_ROW_LABELS | HN_ROW_TEXT, 1, 0, a_encoder, hn_infer_label_encoder, NULL, hn_lower_label_encoder },
    ML("FeatureVectorizer", 255, 0, a_vectorizer, hn_infer_vectorizer, hn_lower_vectorizer),
    ML("OneHotEncoder", 1, HN_ROW_TEXT, a_onehot, hn_infer_onehot, hn_lower_onehot),
    ML("Binarizer", 1, 0, a_binarizer, hn_infer_binarizer, hn_lower_binarizer),
    { HN_ML, "LinearClassifier", V(1), 1, 1, 2, 0, 0, ALL, 0, a_linear, hn_infer_linear, NULL, NULL },
    { HN_ML, "LinearRegressor", V(1), 1, 1, 1, 0, 0, ALL, 0, a_linear, hn_infer_linear, NULL, NULL },
    ML("ZipMap", 1, HN_ROW_VIEW, a_zipmap, hn_infer_zipmap, hn_lower_view),
};
/* clang-format on */
const size_t hn_n_onnx_rows = sizeof hn_onnx_rows / sizeof *hn_onnx_rows;

static const struct hn_onnx_row *find(const char *domain, const char *type, int64_t version,
                                      int *known, int *since)
{
    const struct hn_onnx_row *best = NULL;
    *known = *since = 0;
    const int plain = hn_is_default_domain(domain);
    for (size_t i = 0; i < hn_n_onnx_rows; i++) {
        const struct hn_onnx_row *r = &hn_onnx_rows[i];
        if (r->type[0] != type[0] || strcmp(r->type, type) != 0 ||
            (r->domain[0] ? strcmp(r->domain, domain) != 0 : !plain))
            continue;
        *known = 1;
        for (int k = 0; k < HN_MAX_SINCE && r->since[k]; k++)
            if (r->since[k] <= version && r->since[k] > *since) best = r, *since = r->since[k];
    }
    return best;
}

const struct hn_onnx_row *hn_onnx_row_find(const char *domain, const char *type, int64_t version,
                                           int *known)
{
    int since;
    return find(domain, type, version, known, &since);
}

int hn_onnx_since(const char *domain, const char *type, int64_t version)
{
    int known, since;
    (void)find(domain, type, version, &known, &since);
    return version <= HN_NEWEST_OPSET ? since : 0;
}

void hn_onnx_attrs_default(const struct hn_onnx_row *row, struct hn_onnx_attrs *a)
{
    for (const struct hn_attr_spec *spec = row->attrs; spec && spec->name; spec++) {
        void *field = (char *)a + (spec->off == HN_ATTR_IGNORED ? 0 : spec->off);
        if (spec->off == HN_ATTR_IGNORED) continue;
        if (spec->type == HN_ATTR_F32) *(double *)field = spec->dflt;
        if (spec->type == HN_ATTR_I64) *(int64_t *)field = (int64_t)spec->dflt;
    }
}

static hone_status read_one(const struct hn_infer *c, const struct hn_attr *at,
                            struct hn_onnx_attrs *a)
{
    const struct hn_attr_spec *s = c->row->attrs;
    while (s && s->name && strcmp(s->name, at->name) != 0) s++;
    if (!s || !s->name)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s has no attribute '%s' that is known here", c->n->type, at->name);
    if (at->is_ref)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "attribute '%s' refers to a function's attribute", at->name);
    if (at->type != s->type)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "attribute '%s' has type %d, wanted %d",
                       at->name, (int)at->type, (int)s->type);
    if (s->off == HN_ATTR_IGNORED) return HONE_OK;
    void *field = (char *)a + s->off;
    struct hn_int_list list = { .i = at->ints, .f = at->floats, .n = at->n, .present = 1 };
    switch (at->type) {
    case HN_ATTR_F32: *(double *)field = (double)at->f; break;
    case HN_ATTR_I64: *(int64_t *)field = at->i; break;
    case HN_ATTR_STR: *(const char **)field = at->s; break;
    case HN_ATTR_TENSOR: *(const struct hn_tensor **)field = at->tensor; break;
    default: *(struct hn_int_list *)field = list; break;
    }
    return HONE_OK;
}

const struct hn_attr *hn_attr_of(const struct hn_node *n, const char *name)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}

int hn_has_attr(const struct hn_node *n, const char *name) { return hn_attr_of(n, name) != NULL; }

hone_status hn_onnx_attrs_read(const struct hn_infer *c, struct hn_onnx_attrs *a)
{
    hn_onnx_attrs_default(c->row, a);
    for (int i = 0; i < c->n->n_attrs; i++) HN_TRY(read_one(c, &c->n->attrs[i], a));
    return HONE_OK;
}
