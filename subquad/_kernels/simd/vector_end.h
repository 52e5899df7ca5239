#undef LANES
#undef vec
#undef load
#undef store
#undef broadcast
