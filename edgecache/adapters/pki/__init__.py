"""Keys, certificates and signatures: the only importer of cryptography, and of ssl for the mesh's own contexts."""
