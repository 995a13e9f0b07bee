"""Tables: catalogues of detections, true haloes and matches, ours and the user's."""
