"""What models of others may be made of: lists of what is allowed. Nothing else is loaded unless it is trusted.

Each list holds names of Keras or TensorFlow for what computes numbers from numbers. Left out is what executes code that
a file brings, calls other names, reads or writes files, reaches a network or keeps more than a model's own variables.
"""

from __future__ import annotations

# Layers of either Keras. `Lambda`, `TFSMLayer`, `TorchModuleWrapper`, `JaxLayer`, `FlaxLayer` execute what comes along.
LAYERS = frozenset(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
    CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D
    Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity
    InputLayer IntegerLookup LSTM LSTMCell LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D
    Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment
    RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
    RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
    STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
    SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()
)

# Models of either Keras; a subclass of a user's own is code.
MODELS = frozenset(
    """
    Functional Model Sequential
    """.split()
)

# What `x + y`, `x[:2]` and calls of TensorFlow leave in a functional model of tf_keras: a function of FUNCTIONS each.
OPERATOR_LAYERS = frozenset(
    """
    SlicingOpLambda TFOpLambda
    """.split()
)

# Initializers, regularizers and constraints, by class and by the names that stand for them.
INITIALIZERS = frozenset(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform
    Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal
    VarianceScaling Zeros constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal
    lecun_uniform normal one ones orthogonal random_normal random_uniform stft truncated_normal uniform
    variance_scaling zero zeros
    """.split()
)

REGULARIZERS = frozenset(
    """
    L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l2 orthogonal_regularizer
    """.split()
)

CONSTRAINTS = frozenset(
    """
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm min_max_norm non_neg radial_constraint unit_norm
    """.split()
)

# Activations, which configurations name by text.
ACTIVATIONS = frozenset(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """.split()
)

# Metrics that a SavedModel of Keras keeps; a run asks them for nothing.
METRICS = frozenset(
    """
    AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy
    CategoricalHinge CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence
    LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanRelativeError
    MeanSquaredError MeanSquaredLogarithmicError MeanTensor OneHotIoU OneHotMeanIoU Poisson Precision PrecisionAtRecall
    R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
    SumOverBatchSize TopKCategoricalAccuracy TrueNegatives TruePositives
    """.split()
)

# Data types that layers compute in.
POLICIES = frozenset(
    """
    DTypePolicy Policy
    """.split()
)

# What stands for a value in a configuration, and holds nothing else.
VALUES = frozenset(
    """
    TensorShape __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__
    """.split()
)

# Operations in functional models of Keras 3, of `keras.src.ops.*`. Those that take functions (`Map`, `Cond`) are code.
OPERATIONS = frozenset(
    """
    Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append
    Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort ArraySplit
    Average AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot
    BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt
    Ceil Celu Cholesky CholeskyInverse Clip Concatenate Conj Conjugate Conv ConvTranspose ConvertToTensor Copy
    Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det
    Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum
    ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences
    FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu
    Geomspace GetItem Glu Greater GreaterEqual HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram
    Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf
    Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2
    LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp
    Lstsq LuFactor MapCoordinates Matmul MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments
    Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin
    Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual
    OneHot OnesLike Outer PSNR Pad PadImages Percentile PerspectiveTransform Pinv Polar Power Prod Ptp Qr Quantile
    RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange Reciprocal Relu Relu6 Repeat Reshape Resize
    RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scatter ScatterUpdate
    SearchSorted SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum Select Selu SeparableConv Sigmoid
    Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign
    Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Split
    Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
    TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique
    UnravelIndex Unstack Vander Var Vdot View ViewAsComplex ViewAsReal Vsplit Vstack Where ZerosLike
    """.split()
)

# TensorFlow's functions in layers of OPERATOR_LAYERS: pure mathematics, text and images.
FUNCTIONS = frozenset(
    """
    abs acos acosh add add_n approx_top_k argmax argmin argsort as_string asin asinh atan atan2 atanh batch_to_space
    bitcast boolean_mask broadcast_dynamic_shape broadcast_to cast clip_by_global_norm clip_by_norm clip_by_value
    complex concat conv convert_to_tensor cos cosh cumsum divide dynamic_partition dynamic_stitch edit_distance eig
    eigvals einsum ensure_shape equal exp expand_dims extract_volume_patches eye fftnd fill floor gather gather_nd
    greater greater_equal histogram_fixed_width histogram_fixed_width_bins identity identity_n ifftnd irfftnd less
    less_equal linspace logical_and logical_not logical_or matmul matrix_square_root maximum meshgrid minimum
    multiply negative norm not_equal one_hot ones ones_like pad parallel_stack pow ragged_fill_empty_rows range rank
    realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat
    required_space_to_batch_paddings reshape reverse reverse_sequence rfftnd roll round saturate_cast scalar_mul
    scatter_nd searchsorted sequence_mask shape shape_n sigmoid sign sin sinh size slice sort space_to_batch
    space_to_batch_nd split sqrt square squeeze stack stop_gradient strided_slice subtract tan tanh
    tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update
    tensordot tile transpose truediv truncatediv truncatemod unique unique_with_counts unravel_index unstack where
    zeros zeros_like math.abs math.accumulate_n math.acos math.acosh math.add math.add_n math.angle
    math.approx_max_k math.approx_min_k math.argmax math.argmin math.asin math.asinh math.atan math.atan2 math.atanh
    math.bessel_i0 math.bessel_i0e math.bessel_i1 math.bessel_i1e math.betainc math.bincount math.ceil
    math.confusion_matrix math.conj math.cos math.cosh math.count_nonzero math.cumprod math.cumsum
    math.cumulative_logsumexp math.digamma math.divide math.divide_no_nan math.equal math.erf math.erfc math.erfcinv
    math.erfinv math.exp math.expm1 math.floor math.floordiv math.floormod math.greater math.greater_equal
    math.igamma math.igammac math.imag math.in_top_k math.invert_permutation math.is_finite math.is_inf math.is_nan
    math.is_non_decreasing math.is_strictly_increasing math.l2_normalize math.lbeta math.less math.less_equal
    math.lgamma math.log math.log1p math.log_sigmoid math.log_softmax math.logical_and math.logical_not
    math.logical_or math.logical_xor math.maximum math.minimum math.mod math.multiply math.multiply_no_nan
    math.ndtri math.negative math.nextafter math.not_equal math.polygamma math.polyval math.pow math.real
    math.reciprocal math.reciprocal_no_nan math.reduce_all math.reduce_any math.reduce_euclidean_norm
    math.reduce_logsumexp math.reduce_max math.reduce_mean math.reduce_min math.reduce_prod math.reduce_std
    math.reduce_sum math.reduce_variance math.rint math.round math.rsqrt math.scalar_mul math.segment_max
    math.segment_mean math.segment_min math.segment_prod math.segment_sum math.sigmoid math.sign math.sin math.sinh
    math.sobol_sample math.softmax math.softplus math.softsign math.sqrt math.square math.squared_difference
    math.subtract math.tan math.tanh math.top_k math.truediv math.unsorted_segment_max math.unsorted_segment_mean
    math.unsorted_segment_min math.unsorted_segment_prod math.unsorted_segment_sqrt_n math.unsorted_segment_sum
    math.xdivy math.xlog1py math.xlogy math.zero_fraction math.zeta nn.approx_max_k nn.approx_min_k nn.atrous_conv2d
    nn.atrous_conv2d_transpose nn.avg_pool nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d
    nn.batch_norm_with_global_normalization nn.batch_normalization nn.bias_add nn.collapse_repeated
    nn.compute_accidental_hits nn.conv1d nn.conv1d_transpose nn.conv2d nn.conv2d_transpose nn.conv3d
    nn.conv3d_transpose nn.conv_transpose nn.convolution nn.crelu nn.ctc_beam_search_decoder nn.ctc_greedy_decoder
    nn.ctc_loss nn.ctc_unique_labels nn.depth_to_space nn.depthwise_conv2d nn.depthwise_conv2d_backprop_filter
    nn.depthwise_conv2d_backprop_input nn.dilation2d nn.dropout nn.elu nn.erosion2d nn.fractional_avg_pool
    nn.fractional_max_pool nn.gelu nn.in_top_k nn.isotonic_regression nn.l2_loss nn.l2_normalize nn.leaky_relu
    nn.local_response_normalization nn.log_poisson_loss nn.log_softmax nn.lrn nn.max_pool nn.max_pool1d
    nn.max_pool2d nn.max_pool3d nn.max_pool_with_argmax nn.moments nn.normalize_moments nn.pool nn.relu nn.relu6
    nn.selu nn.separable_conv2d nn.sigmoid nn.sigmoid_cross_entropy_with_logits nn.silu nn.softmax
    nn.softmax_cross_entropy_with_logits nn.softplus nn.softsign nn.space_to_batch nn.space_to_depth
    nn.sparse_softmax_cross_entropy_with_logits nn.sufficient_statistics nn.swish nn.tanh nn.top_k
    nn.weighted_cross_entropy_with_logits nn.weighted_moments nn.zero_fraction linalg.adjoint linalg.band_part
    linalg.banded_triangular_solve linalg.cholesky linalg.cholesky_solve linalg.cross linalg.det linalg.diag
    linalg.diag_part linalg.eig linalg.eigh linalg.eigh_tridiagonal linalg.eigvals linalg.eigvalsh linalg.einsum
    linalg.expm linalg.eye linalg.global_norm linalg.inv linalg.l2_normalize linalg.logdet linalg.logm linalg.lstsq
    linalg.lu linalg.lu_matrix_inverse linalg.lu_reconstruct linalg.lu_solve linalg.matmul linalg.matrix_rank
    linalg.matrix_transpose linalg.matvec linalg.norm linalg.normalize linalg.pinv linalg.qr linalg.set_diag
    linalg.slogdet linalg.solve linalg.sqrtm linalg.svd linalg.tensor_diag linalg.tensor_diag_part linalg.tensordot
    linalg.trace linalg.triangular_solve linalg.tridiagonal_matmul linalg.tridiagonal_solve image.adjust_brightness
    image.adjust_contrast image.adjust_gamma image.adjust_hue image.adjust_jpeg_quality image.adjust_saturation
    image.central_crop image.combined_non_max_suppression image.convert_image_dtype image.crop_and_resize
    image.crop_to_bounding_box image.decode_and_crop_jpeg image.decode_bmp image.decode_gif image.decode_image
    image.decode_jpeg image.decode_jxl image.decode_png image.decode_webp image.draw_bounding_boxes
    image.encode_jpeg image.encode_png image.extract_glimpse image.extract_jpeg_shape image.extract_patches
    image.flip_left_right image.flip_up_down image.generate_bounding_box_proposals image.grayscale_to_rgb
    image.hsv_to_rgb image.image_gradients image.is_jpeg image.non_max_suppression
    image.non_max_suppression_overlaps image.non_max_suppression_padded image.non_max_suppression_with_scores
    image.pad_to_bounding_box image.per_image_standardization image.psnr image.random_brightness
    image.random_contrast image.random_crop image.random_flip_left_right image.random_flip_up_down image.random_hue
    image.random_jpeg_quality image.random_saturation image.resize image.resize_with_crop_or_pad
    image.resize_with_pad image.rgb_to_grayscale image.rgb_to_hsv image.rgb_to_yiq image.rgb_to_yuv image.rot90
    image.sample_distorted_bounding_box image.sobel_edges image.ssim image.ssim_multiscale
    image.stateless_random_brightness image.stateless_random_contrast image.stateless_random_crop
    image.stateless_random_flip_left_right image.stateless_random_flip_up_down image.stateless_random_hue
    image.stateless_random_jpeg_quality image.stateless_random_saturation
    image.stateless_sample_distorted_bounding_box image.total_variation image.transpose image.yiq_to_rgb
    image.yuv_to_rgb signal.dct signal.fft signal.fft2d signal.fft3d signal.fftnd signal.fftshift signal.frame
    signal.hamming_window signal.hann_window signal.idct signal.ifft signal.ifft2d signal.ifft3d signal.ifftnd
    signal.ifftshift signal.inverse_mdct signal.inverse_stft signal.irfft
    signal.irfft2d signal.irfft3d signal.irfftnd signal.kaiser_bessel_derived_window signal.kaiser_window
    signal.linear_to_mel_weight_matrix signal.mdct signal.mfccs_from_log_mel_spectrograms signal.overlap_and_add
    signal.rfft signal.rfft2d signal.rfft3d signal.rfftnd signal.stft signal.vorbis_window strings.as_string
    strings.bytes_split strings.format strings.join strings.length strings.lower strings.ngrams strings.reduce_join
    strings.regex_full_match strings.regex_replace strings.split strings.strip strings.substr strings.to_hash_bucket
    strings.to_hash_bucket_fast strings.to_hash_bucket_strong strings.to_number strings.unicode_decode
    strings.unicode_decode_with_offsets strings.unicode_encode strings.unicode_script strings.unicode_split
    strings.unicode_split_with_offsets strings.unicode_transcode strings.unsorted_segment_join strings.upper
    bitwise.bitwise_and bitwise.bitwise_or bitwise.bitwise_xor bitwise.invert bitwise.left_shift bitwise.right_shift
    dtypes.cast dtypes.complex dtypes.saturate_cast sparse.add sparse.bincount sparse.concat sparse.cross
    sparse.cross_hashed sparse.expand_dims sparse.eye sparse.fill_empty_rows sparse.from_dense sparse.mask
    sparse.maximum sparse.minimum sparse.reduce_max sparse.reduce_sum sparse.reorder sparse.reset_shape
    sparse.reshape sparse.retain sparse.sampled_addmm sparse.segment_mean sparse.segment_sqrt_n sparse.segment_sum
    sparse.slice sparse.softmax sparse.sparse_dense_matmul sparse.split sparse.to_dense sparse.to_indicator
    sparse.transpose ragged.boolean_mask ragged.constant ragged.cross ragged.cross_hashed ragged.range
    ragged.row_splits_to_segment_ids ragged.segment_ids_to_row_splits ragged.stack ragged.stack_dynamic_partitions
    __operators__.add __operators__.eq __operators__.getitem __operators__.ne __operators__.ragged_getitem
    random.gamma random.normal random.poisson random.shuffle random.uniform random.truncated_normal
    random.categorical random.stateless_binomial random.stateless_categorical random.stateless_gamma
    random.stateless_normal random.stateless_poisson random.stateless_truncated_normal random.stateless_uniform
    debugging.check_numerics compat.v1.gather compat.v1.shape compat.v1.size compat.v1.transpose
    compat.v1.batch_to_space compat.v1.boolean_mask compat.v1.convert_to_tensor compat.v1.expand_dims
    compat.v1.gather_nd compat.v1.image.crop_and_resize compat.v1.image.draw_bounding_boxes
    compat.v1.image.extract_glimpse compat.v1.image.resize_bilinear compat.v1.image.resize_images
    compat.v1.image.resize_nearest_neighbor compat.v1.image.sample_distorted_bounding_box compat.v1.floor_div
    compat.v1.math.argmax compat.v1.math.argmin compat.v1.math.bincount compat.v1.math.confusion_matrix
    compat.v1.math.count_nonzero compat.v1.math.in_top_k compat.v1.math.reduce_all compat.v1.math.reduce_any
    compat.v1.math.reduce_logsumexp compat.v1.math.reduce_max compat.v1.math.reduce_mean
    compat.v1.math.reduce_min compat.v1.math.reduce_prod compat.v1.math.reduce_sum compat.v1.math.scalar_mul
    compat.v1.nn.avg_pool compat.v1.nn.conv1d compat.v1.nn.conv2d compat.v1.nn.conv2d_transpose
    compat.v1.nn.conv3d compat.v1.nn.conv3d_transpose compat.v1.nn.convolution compat.v1.nn.crelu
    compat.v1.nn.depth_to_space compat.v1.nn.depthwise_conv2d compat.v1.nn.dilation2d compat.v1.nn.dropout
    compat.v1.nn.log_softmax compat.v1.nn.max_pool compat.v1.nn.max_pool_with_argmax compat.v1.nn.moments
    compat.v1.nn.pool compat.v1.nn.separable_conv2d compat.v1.nn.softmax compat.v1.nn.space_to_batch
    compat.v1.nn.space_to_depth compat.v1.norm compat.v1.ones_like compat.v1.pad compat.v1.reverse_sequence
    compat.v1.squeeze compat.v1.strings.length compat.v1.strings.reduce_join compat.v1.strings.substr
    compat.v1.strings.to_hash_bucket compat.v1.strings.to_number compat.v1.where compat.v1.zeros_like

    keras.backend.abs keras.backend.all keras.backend.any keras.backend.argmax keras.backend.argmin
    keras.backend.batch_dot keras.backend.batch_flatten keras.backend.bias_add keras.backend.cast
    keras.backend.clip keras.backend.concatenate keras.backend.conv1d keras.backend.conv2d
    keras.backend.conv2d_transpose keras.backend.conv3d keras.backend.cos keras.backend.cumprod
    keras.backend.cumsum keras.backend.depthwise_conv2d keras.backend.dot keras.backend.dropout
    keras.backend.elu keras.backend.equal keras.backend.exp keras.backend.expand_dims keras.backend.flatten
    keras.backend.gather keras.backend.greater keras.backend.greater_equal keras.backend.hard_sigmoid
    keras.backend.l2_normalize keras.backend.less keras.backend.less_equal keras.backend.log keras.backend.max
    keras.backend.maximum keras.backend.mean keras.backend.min keras.backend.minimum keras.backend.not_equal
    keras.backend.one_hot keras.backend.ones_like keras.backend.permute_dimensions keras.backend.pool2d
    keras.backend.pool3d keras.backend.pow keras.backend.prod keras.backend.relu keras.backend.repeat
    keras.backend.repeat_elements keras.backend.reshape keras.backend.resize_images keras.backend.resize_volumes
    keras.backend.reverse keras.backend.round keras.backend.separable_conv2d keras.backend.shape
    keras.backend.sigmoid keras.backend.sign keras.backend.sin keras.backend.softmax keras.backend.softplus
    keras.backend.softsign keras.backend.spatial_2d_padding keras.backend.spatial_3d_padding keras.backend.sqrt
    keras.backend.square keras.backend.squeeze keras.backend.stack keras.backend.std keras.backend.stop_gradient
    keras.backend.sum keras.backend.tanh keras.backend.temporal_padding keras.backend.tile
    keras.backend.to_dense keras.backend.transpose keras.backend.var keras.backend.zeros_like
    """.split()
)

# Operations in the graph of a SavedModel, those of its functions too.
GRAPH_OPERATIONS = frozenset(
    """
    BatchMatrixBandPart BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo
    CheckNumerics CheckNumericsV2 Concat ConcatOffset ConcatV2 ConjugateTranspose Const DepthToSpace Dequantize Diag
    DiagPart EditDistance Empty EnsureShape ExpandDims ExtractImagePatches ExtractVolumePatches
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient
    FakeQuantWithMinMaxVarsPerChannel FakeQuantWithMinMaxVarsPerChannelGradient Fill Gather GatherNd GatherV2
    Identity IdentityN InvertPermutation ListDiff LowerBound MatrixBandPart MatrixDiag MatrixDiagPart
    MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3
    MirrorPad MirrorPadGrad OneHot OnesLike Pack Pad PadV2 Placeholder PlaceholderWithDefault PreventGradient
    QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeAndDequantizeV4Grad QuantizeV2 Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd Shape
    ShapeN Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice
    StridedSliceGrad TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate Tile
    TileGrad Transpose Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where
    ZerosLike

    AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp DisableCopyOnRead ReadVariableOp
    ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin
    ResourceScatterMul ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub
    ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate VarHandleOp VarIsInitializedOp VariableShape

    Assert Case ControlTrigger Enter Exit FakeParam If LoopCond Merge NextIteration NoOp PartitionedCall
    StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch ToBool While

    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2
    Atanh BandedTriangularSolve BatchCholesky BatchCholeskyGrad BatchFFT BatchFFT2D BatchFFT3D BatchIFFT BatchIFFT2D
    BatchIFFT3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchMatrixDeterminant BatchMatrixInverse BatchMatrixSolve
    BatchMatrixSolveLs BatchMatrixTriangularSolve BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd BesselI0
    BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc
    Bincount BitwiseAnd BitwiseOr BitwiseXor Bucketize Cast Ceil Cholesky CholeskyGrad ClipByValue Complex
    ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount Digamma Div DivNoNan Eig
    Einsum Equal Erf Erfc Erfinv EuclideanNorm Exp Expint Expm1 FFT FFT2D FFT3D FFTND Floor FloorDiv FloorMod
    FresnelCos FresnelSin Greater GreaterEqual HistogramFixedWidth IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D
    IRFFTND Igamma IgammaGradA Igammac Imag Inv InvGrad Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma
    LinSpace Log Log1p LogMatrixDeterminant LogicalAnd LogicalNot LogicalOr Lu MatMul MatrixDeterminant
    MatrixExponential MatrixInverse MatrixLogarithm MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve
    Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Prod Qr
    RFFT RFFT2D RFFT3D RFFTND RaggedBincount Range Real RealDiv Reciprocal ReciprocalGrad RightShift Rint Round
    Rsqrt RsqrtGrad SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum
    SegmentSumV2 Select SelectV2 SelfAdjointEig SelfAdjointEigV2 Sigmoid SigmoidGrad Sign Sin Sinh SparseBincount
    SparseMatMul SparseSegmentMean SparseSegmentMeanGrad SparseSegmentMeanGradV2 SparseSegmentMeanWithNumSegments
    SparseSegmentSqrtN SparseSegmentSqrtNGrad SparseSegmentSqrtNGradV2 SparseSegmentSqrtNWithNumSegments
    SparseSegmentSum SparseSegmentSumGrad SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments Spence Sqrt
    SqrtGrad Square SquaredDifference Sub Sum Svd Tan Tanh TanhGrad TridiagonalMatMul TridiagonalSolve TruncateDiv
    TruncateMod UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum Xdivy Xlog1py Xlogy
    Zeta

    BiasAddGrad CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNCanonicalToParams
    CudnnRNNCanonicalToParamsV2 CudnnRNNParamsSize CudnnRNNParamsToCanonical CudnnRNNParamsToCanonicalV2 CudnnRNNV2
    CudnnRNNV3 IteratorGetNext OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone

    ApproxTopK AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2 Conv
    Conv2D Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInputV2 DataFormatDimMap
    DataFormatVecPermute DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput Dilation2D Elu FractionalAvgPool
    FractionalMaxPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GRUBlockCell InTopK InTopKV2
    IsotonicRegression L2Loss LRN LSTMBlockCell LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax
    NthElement Relu Relu6 Selu Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign
    SparseSoftmaxCrossEntropyWithLogits TopK TopKV2

    Multinomial NonDeterministicInts ParameterizedTruncatedNormal RandomGamma RandomPoisson RandomPoissonV2
    RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip StatefulRandomBinomial
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
    StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
    StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal

    AsString DecodeBase64 DecodePaddedRaw DecodeRaw EncodeBase64 ReduceJoin RegexFullMatch RegexReplace
    StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams
    StringSplit StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
    StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript
    UnicodeTranscode UnsortedSegmentJoin

    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize
    DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodeJxl DecodePng DecodeWebP DrawBoundingBoxes
    DrawBoundingBoxesV2 EncodeJpeg EncodeJpegVariableQuality EncodePng ExtractGlimpse ExtractGlimpseV2
    ExtractJpegShape GenerateBoundingBoxProposals HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3
    NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps RGBToHSV RandomCrop ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate StatelessSampleDistortedBoundingBox

    AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable AnonymousMutableHashTableOfTensors
    DenseToDenseSetOperation DenseToSparseSetOperation DynamicPartition DynamicStitch EmptyTensorList HashTableV2
    InitializeTableV2 LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2
    LookupTableRemoveV2 LookupTableSizeV2 MutableDenseHashTableV2 MutableHashTableOfTensorsV2 MutableHashTableV2
    ParallelDynamicStitch RaggedCross RaggedFillEmptyRows RaggedGather RaggedRange RaggedTensorFromVariant
    RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant SetSize SparseAdd SparseConcat SparseCross
    SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul SparseFillEmptyRows
    SparseReduceMax SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse SparseReorder SparseReshape
    SparseSlice SparseSoftmax SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
    SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation TensorArrayCloseV3 TensorArrayConcatV3
    TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3
    TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape
    TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList
    TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
    """.split()
)

# Operations that store and restore weights, allowed in the functions of a graph's saver alone.
STORES = frozenset(("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"))
