//! oci: not written yet.
