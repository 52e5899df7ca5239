"""[AS22]: two-layer networks whose first layer is a product of thin matrices."""
