#define SQ_TEMPLATE "coactivation_template.h"
#include "coactivation.h"
#include "multiversion.h"

const popcount_block_fn popcount_block[SQ_LEVELS] = SQ_TABLE(popcount_block);
