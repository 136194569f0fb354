"""A static page on which a person tries a trained net on photographs, in the browser alone.

    fcn page RUN -o DIR --serve

page.py writes the folder, net.py the net as ONNX, runtime.py gets what runs it in the browser,
server.py shows the folder on this machine; static/ has the page itself.
"""
