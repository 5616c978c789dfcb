"""euca-rpc: a private cloud in the shape of Eucalyptus 1.0."""
