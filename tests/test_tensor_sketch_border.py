"""What sketches of pairs take and refuse: any forms of finite real matrices that fit together."""

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import close, khatri_rao, sides

from subquad.sketch import TensorSketch, TensorSRHT

ALL = [TensorSketch, TensorSRHT]
M_U, M_V, S = 13, 21, 18


@pytest.fixture(params=ALL, ids=lambda kind: kind.__name__)
def sketch(request):
    return request.param((M_U, M_V), S, rng=7)


class TestInput:
    @pytest.fixture
    def pair(self, rng, dtype):
        return sides(rng, 6, dtype)

    def test_is_not_modified_and_may_be_read_only(self, pair, sketch):
        U, V = (x.copy() for x in pair)
        U.flags.writeable = V.flags.writeable = False
        sketch.apply(U, V)
        sketch.gram(U, V)
        np.testing.assert_array_equal(U, pair[0])
        np.testing.assert_array_equal(V, pair[1])

    def test_may_be_in_any_layout_and_byte_order(self, pair, sketch, tmp_path):
        U, V = pair
        expected = sketch.apply(U, V)
        mapped = np.memmap(tmp_path / "U", U.dtype, "w+", shape=U.shape)
        mapped[:] = U
        swapped = V.astype(V.dtype.newbyteorder(">"))
        for u_form, v_form in ((np.asfortranarray(U), swapped), (mapped, V[:, ::-1][:, ::-1])):
            np.testing.assert_array_equal(sketch.apply(u_form, v_form), expected)
            np.testing.assert_array_equal(sketch.apply(u_form, sketch.prepare(v_form)), expected)

    @pytest.mark.parametrize("index", [np.int32, np.int64])
    def test_may_be_unsorted_csr_with_duplicates(self, pair, sketch, index):
        U, V = pair
        messy = scipy.sparse.csr_array((6, M_U), dtype=U.dtype)
        messy.indptr = np.arange(0, 19, 3).astype(index)
        messy.indices = np.tile([4, 1, 4], 6).astype(index)
        messy.data = np.arange(18, dtype=U.dtype)
        expected = khatri_rao(messy.toarray(), V) @ sketch.matrix().T
        close(sketch.apply(messy, V), expected, U.dtype)
        assert messy.indices[:3].tolist() == [4, 1, 4]

    def test_of_two_dtypes_takes_the_wider(self, rng, sketch):
        U, V = sides(rng, 3, np.float32)
        wide = V.astype(np.float64)
        expected = sketch.apply(U.astype(np.float64), wide)
        np.testing.assert_array_equal(sketch.apply(U, wide), expected)
        np.testing.assert_array_equal(sketch.apply(U, sketch.prepare(wide)), expected)
        np.testing.assert_array_equal(sketch.apply(scipy.sparse.csr_array(U), wide), expected)
        with pytest.raises(TypeError, match="V must be prepared in float64 as U; got float32"):
            sketch.apply(wide[:, :M_U], sketch.prepare(V))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_must_be_finite(self, pair, sketch, value):
        U, V = pair
        for which, name in ((0, "U"), (1, "V")):
            wrong = [U.copy(), V.copy()]
            wrong[which][4, 3] = value
            for product in (sketch.apply, sketch.gram):
                with pytest.raises(ValueError, match=rf"{name} must be finite .* \(4, 3\)"):
                    product(*wrong)
            wrong[which] = scipy.sparse.csr_array(wrong[which])
            with pytest.raises(ValueError, match=rf"{name}.data must be finite"):
                sketch.apply(*wrong)
        with pytest.raises(ValueError, match=r"V must be finite .* \(4, 3\)"):
            sketch.prepare(wrong[1].toarray())

    def test_nan_meets_a_zero_row_and_is_still_refused(self, sketch):
        U, V = np.ones((2, M_U)), np.zeros((2, M_V))
        U[1, 0] = np.nan
        with pytest.raises(ValueError, match="U must be finite"):
            sketch.apply(U, V)

    def test_that_overflows_is_infinite(self, sketch):
        U, V = np.full((2, M_U), 1e38, np.float32), np.full((2, M_V), 1e38, np.float32)
        assert not np.isfinite(sketch.apply(U, V)).any()

    def test_must_fit_together(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        with pytest.raises(ValueError, match=r"U must have shape \(any, 13\); got \(3, 21\)"):
            sketch.apply(V, U)
        with pytest.raises(ValueError, match=r"V must have shape \(3, 21\); got \(2, 21\)"):
            sketch.apply(U, V[:2])
        with pytest.raises(ValueError, match=r"V must have shape \(3, 21\); got \(2, 21\)"):
            sketch.apply(U, scipy.sparse.csr_array(V[:2]))
        with pytest.raises(ValueError, match="V must have 3 rows as U; got 2"):
            sketch.apply(U, sketch.prepare(V[:2]))
        with pytest.raises(ValueError, match="U must have at least 1 row"):
            sketch.apply(U[:0], V[:0])
        with pytest.raises(TypeError, match="U must be a float32 or float64 array; got int64"):
            sketch.apply(U.astype(np.int64), V)

    def test_must_be_prepared_by_the_same_sketch(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        twin = type(sketch)((M_U, M_V), S, rng=7)
        np.testing.assert_array_equal(sketch.apply(U, twin.prepare(V)), sketch.apply(U, V))
        other = type(sketch)((M_U, M_V), S, rng=8)
        with pytest.raises(ValueError, match="V must be prepared by this sketch; got one of"):
            sketch.apply(U, other.prepare(V))


class TestOut:
    def test_is_filled_and_returned(self, rng, dtype, sketch):
        U, V = sides(rng, 6, dtype)
        expected = sketch.apply(U, V)
        for out in (
            np.full((6, S), np.nan, dtype),
            np.full((6, S), np.nan, dtype, order="F"),
            np.full((6, S), np.nan, dtype.newbyteorder(">")),
        ):
            assert sketch.apply(U, V, out=out) is out
            np.testing.assert_array_equal(out, expected)

    def test_may_overlap_the_input(self, rng, dtype):
        for kind in ALL:
            sketch = kind(16, 16, rng=0)
            U, V = sides(rng, 5, dtype, 16, 16)
            expected = sketch.apply(U, V)
            assert sketch.apply(U, V, out=V) is V
            np.testing.assert_array_equal(V, expected)

    def test_must_be_able_to_take_the_result(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        with pytest.raises(ValueError, match=r"out must have shape \(3, 18\); got \(3, 13\)"):
            sketch.apply(U, V, out=np.empty((3, M_U)))
        with pytest.raises(TypeError, match="out must be a float64 array; got float32"):
            sketch.apply(U, V, out=np.empty((3, S), np.float32))
