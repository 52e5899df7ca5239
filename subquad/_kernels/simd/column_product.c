#define SQ_TEMPLATE "column_product_template.h"
#include "column_product.h"
#include "multiversion.h"

const column_panel_f32_fn column_panel_f32[SQ_LEVELS] = SQ_TABLE(column_panel_f32);
const column_panel_f64_fn column_panel_f64[SQ_LEVELS] = SQ_TABLE(column_panel_f64);
