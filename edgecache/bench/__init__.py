"""`edgecache bench`: measurements on this machine, as JSON. Ratios within one run travel, absolute figures do not."""
