#!/bin/sh
# Entry point of images whose service runs compiled code: puts what numba compiled when the image was
# built where numba looks, then becomes the service. numba's cache must be writable and an image is
# not; it is copied once for each image, so that what another kind of CPU compiles anew is kept.
set -eu
if ! cmp -s /opt/streamguard/compiled/built "$NUMBA_CACHE_DIR/built"; then
  rm -rf "$NUMBA_CACHE_DIR"
  cp -R /opt/streamguard/compiled "$NUMBA_CACHE_DIR"
fi
exec "$@"
