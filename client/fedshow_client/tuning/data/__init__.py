"""From a folder of pictures to batches: nothing to prepare by hand, nothing stretched."""
