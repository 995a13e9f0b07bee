"""Read, select, join and write event lists of eSASS, of SIXTE and of clustermass itself."""
