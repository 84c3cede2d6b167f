"""Seals or opens a file with Google's tink: tink_stream.py seal|open KEY-HEX ASSOCIATED-DATA FROM TO"""

import sys

import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

what, key, associated_data, source, target = sys.argv[1:]
streaming_aead.register()
stream_key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=bytes.fromhex(key))
stream_key.params.ciphertext_segment_size = 1 << 20
stream_key.params.derived_key_size = 32
stream_key.params.hkdf_hash_type = common_pb2.SHA256
keyset = tink_pb2.Keyset(primary_key_id=1)
entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
entry.key_data.value = stream_key.SerializeToString()
entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
primitive = handle.primitive(streaming_aead.StreamingAead)
associated_data = associated_data.encode()

if what == "seal":
    with open(source, "rb") as plain, primitive.new_encrypting_stream(open(target, "wb"), associated_data) as out:
        out.write(plain.read())
else:
    with primitive.new_decrypting_stream(open(source, "rb"), associated_data) as stored, open(target, "wb") as out:
        out.write(stored.read())
