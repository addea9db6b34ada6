//! Where a Service's traffic goes: EndpointSlices and the older Endpoints
//! (upstream: `staging/src/k8s.io/endpointslice`, `pkg/controller/endpoint`).

mod legacy;
mod ports;
mod services;
mod slice;
#[cfg(test)]
mod tests;

pub(crate) use legacy::EndpointsController;
pub(crate) use slice::EndpointSliceController;
